// The soft update and MaintainSparsity.
#include <map>

#include "native_test.hpp"

namespace rewirl {

namespace {

void test_target(int height) {
  const std::unique_ptr<Network> online = random_mlp(40, true, height), target = copy_of(*online, false);
  constexpr size_t kLayers = 3;
  const auto of = [](const auto& network, size_t l) -> Weights& { return *layer_of(*network, l).weights(); };
  TargetUpdate update(*target, *online, {});
  std::vector<std::vector<float>> expected;
  for (size_t l = 0; l < kLayers; ++l) expected.push_back(matrix(of(online, l)));
  for (int step = 1; step <= 60; ++step) {
    if (step % 10 == 0)
      for (size_t l = 0; l < 2; ++l) rewire_a_tenth(*online, l);
    for (size_t l = 0; l < kLayers; ++l)
      for (float& w : of(online, l).values) w += uniform(-0.05f, 0.05f);
    update.update(0.125f);
    for (size_t l = 0; l < kLayers; ++l) {
      const std::vector<float> now = matrix(of(online, l)), found = matrix(of(target, l));
      const size_t k = of(online, l).connections(), high = l < 2 ? static_cast<size_t>(height) : 1;
      const size_t ins = static_cast<size_t>(of(online, l).n_in());
      struct Block {
        float magnitude = 0.0f;  // mean
        std::vector<size_t> places;
      };
      std::vector<Block> blocks;  // by magnitude, the largest first
      std::map<size_t, std::vector<size_t>> places;
      for (size_t i = 0; i < now.size(); ++i) {
        expected[l][i] = static_cast<float>(0.125 * now[i] + 0.875 * expected[l][i]);
        places[i / ins / high * ins + i % ins].push_back(i);
      }
      for (const auto& each : places) {
        Block block{0.0f, each.second};
        for (const size_t i : block.places)
          block.magnitude += std::fabs(expected[l][i]) / static_cast<float>(block.places.size());
        blocks.push_back(block);
      }
      std::sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.magnitude > b.magnitude; });
      size_t alive = 0, connected = 0, kept = 0;
      for (const Block& block : blocks) connected += block.magnitude != 0.0f ? block.places.size() : 0;
      while (kept < blocks.size() && blocks[kept].magnitude != 0.0f) ++kept;
      float cut = -1.0f;  // the largest that goes
      for (; connected > k; connected -= blocks[kept].places.size()) cut = blocks[--kept].magnitude;
      bool good = true;
      for (const Block& block : blocks)
        for (const size_t i : block.places) {
          const bool unclear = std::fabs(block.magnitude - cut) < 1e-6f;
          const float goal = block.magnitude > cut ? expected[l][i] : 0.0f;
          good &= unclear || std::fabs(found[i] - goal) < 1e-5f;
          alive += found[i] != 0.0f;
        }
      for (size_t i = 0; i < now.size(); ++i) expected[l][i] = found[i];
      check(good && alive <= k, "target of step " + std::to_string(step));
    }
  }
  rewire_a_tenth(*online, 0);
  check(update.stale() == std::vector<bool>{true, false, false}, "which layers a target has yet to follow");
  TargetUpdate again(*target, *online, update.stale());
  rewire_a_tenth(*online, 0);
  again.update(1.0f);
  check(matrix(of(target, 0)) == matrix(of(online, 0)), "tau of one copies");
  check_throws<std::invalid_argument>([&] { TargetUpdate wrong(*target, *online, {true}); }, "stale of another depth");
  const std::unique_ptr<Network> other = random_mlp(41, true, height), rows = random_mlp(40, true, height % 8 + 1);
  check_throws<std::invalid_argument>([&] { TargetUpdate wrong(*target, *rows, {}); }, "a target of other blocks");
  check_throws<std::invalid_argument>([&] { TargetUpdate wrong(*target, *other, {}); }, "a target of another shape");
}

// A target has its values in the order of another topology; what it computes is always of its present ones.
void test_outputs_of_a_target(int height) {
  const std::unique_ptr<Network> online = random_mlp(20, true, height), target = copy_of(*online, false);
  TargetUpdate soft(*target, *online, {});
  Workspace of_target(*target, false, false);
  const std::vector<float> x = random_floats(20 * 32);
  const Batch batch{x.data(), 20 * 32, 1, 2};
  std::vector<float> one(20), found(3), expected(3);
  for (size_t c = 0; c < one.size(); ++c) one[c] = x[c * 32];
  for (int step = 0; step < 6; ++step) {
    if (step % 3 == 1)
      for (size_t l = 0; l < 2; ++l) rewire_a_tenth(*online, l);
    for (size_t l = 0; l < 3; ++l)
      for (float& w : layer_of(*online, l).weights()->values) w += 0.1f;
    soft.update(0.1f);
    const std::unique_ptr<Network> sorted = copy_of(*target, true);
    Workspace of_sorted(*sorted, true, true);
    target->forward(of_target, batch, 32);
    sorted->forward(of_sorted, batch, 32);
    target->act(one.data(), found.data());
    sorted->act(one.data(), expected.data());
    check(std::equal(of_target.output().begin(), of_target.output().end(), of_sorted.output().begin()),
          "forward of a target");
    check(found == expected, "acting of a target");
  }
  check(layer_of(*target, 0).weights()->connections() > layer_of(*online, 0).weights()->connections(),
        "a target with stale places");
}

}  // namespace

void test_targets() {
  for (const int height : {1, 4, 8, 3}) {
    test_target(height);
    test_outputs_of_a_target(height);
  }
}

}  // namespace rewirl
