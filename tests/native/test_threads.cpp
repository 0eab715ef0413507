// Networks, layers and pools in several threads.
#include <atomic>
#include <thread>
#include <utility>

#include "native_test.hpp"

namespace rewirl {

namespace {

using Networks = std::vector<std::unique_ptr<Network>>;

std::vector<std::unique_ptr<Workspace>> workspaces_of(const Networks& networks, bool training) {
  std::vector<std::unique_ptr<Workspace>> result;
  for (const auto& network : networks) result.push_back(std::make_unique<Workspace>(*network, training, training));
  return result;
}

void append_values(std::vector<float>& result, const Network& network) {
  for (const auto& operation : network.operations())
    for (const Learnable* learnable : operation->learnables())
      result.insert(result.end(), learnable->values.begin(), learnable->values.end());
}

void test_networks_in_threads(int height) {
  const auto train = [&](int threads) {
    rng.seed(7);
    Networks networks, targets;
    for (int i = 0; i < 3; ++i) networks.push_back(random_mlp(20, true, height));
    for (const auto& network : networks) targets.push_back(copy_of(*network, false));
    const auto workspaces = workspaces_of(networks, true), of_targets = workspaces_of(targets, false);
    std::vector<std::unique_ptr<TargetUpdate>> updates;
    for (size_t i = 0; i < networks.size(); ++i)
      updates.push_back(std::make_unique<TargetUpdate>(*targets[i], *networks[i], std::vector<bool>{}));
    const std::vector<float> x = random_floats(20 * 32), pull = random_floats(3 * 32);
    const Batch batch{x.data(), 20 * 32, 1, 2};
    Pool pool(threads);
    constexpr Adam kAdam{1e-2f, 0.9f, 0.999f, 1e-8f, 1e-4f};
    for (int step = 0; step < 6; ++step) {
      pool.run(3, [&](int i) {
        Network& network = *networks[static_cast<size_t>(i)];
        Workspace& w = *workspaces[static_cast<size_t>(i)];
        network.forward(w, batch, 32);
        if (step % 2 == 0) {
          network.backward(w, batch, pull.data(), true, 0);
          network.adam(w, kAdam);
        } else {
          network.step(w, batch, pull.data(), kAdam);
        }
      });
      pool.run(3, [&](int i) {  // whose threads share memory in passing
        targets[static_cast<size_t>(i)]->forward(*of_targets[static_cast<size_t>(i)], batch, 32);
      });
      if (step == 3)
        for (const auto& network : networks) rewire_a_tenth(*network, 0);
      pool.run(3, [&](int i) { updates[static_cast<size_t>(i)]->update(0.1f); });
    }
    std::vector<float> result;
    for (const Networks* some : {&networks, &targets})
      for (const auto& network : *some) append_values(result, *network);
    return result;
  };
  const std::vector<float> alone = train(1);
  check(train(2) == alone && train(3) == alone, "networks in threads, blocks of " + std::to_string(height));
}

// Networks of one output learn while pools come and go, as agents do in one process.
void test_pools_that_come_and_go() {
  const auto train = [](int threads) {
    rng.seed(9);
    Networks critics;
    for (int i = 0; i < 2; ++i) critics.push_back(make_mlp({random_layer(20, 40, 0.5), random_layer(40, 1, -1)}));
    const auto workspaces = workspaces_of(critics, true);
    const std::vector<float> x = random_floats(20 * 32), targets = random_floats(32), weights(32, 1.0f / 32);
    const Batch batch{x.data(), 20 * 32, 1, 2};
    std::vector<std::vector<float>> errors(2, std::vector<float>(32));
    for (int step = 0; step < 20; ++step) {
      Pool pool(threads);
      pool.use(step % threads + 1);
      pool.run(2, [&](int i) {
        const size_t n = static_cast<size_t>(i);
        critics[n]->regress(*workspaces[n], batch, 32, targets.data(), weights.data(), errors[n].data(),
                            {1e-2f, 0.9f, 0.999f, 1e-8f, 0.0f});
      });
      if (step % 3 == 0) pool.close();
    }
    return errors;
  };
  check(train(2) == train(1) && train(3) == train(1), "pools that come and go");
}

void test_layers_in_threads(int height) {
  const auto compute = [&](int threads) {
    rng.seed(8);
    const std::unique_ptr<Network> mlp = make_mlp({random_layer(90, 130, 0.5, height), random_layer(130, 67, -1),
                                                   random_layer(67, 109, 0.8, height), random_layer(109, 3, -1)});
    constexpr int kVectors = 3;  // how many there are is the same to whoever divides the work
    const size_t width = kLane * kVectors;
    const std::vector<float> x = random_floats(2 * 90 * width), pull = random_floats(2 * 3 * width);
    const Batch batch{x.data(), static_cast<ptrdiff_t>(90 * width), 2, kVectors};
    Workspace w(*mlp, true, true);
    Pool pool(threads);
    Pool* shared = threads > 1 ? &pool : nullptr;
    mlp->count_ages();
    for (int step = 0; step < 2; ++step) {
      constexpr Adam kAdam{1e-3f, 0.9f, 0.999f, 1e-8f, 1e-4f};
      mlp->forward(w, batch, 2 * width, 1, shared);
      mlp->step(w, batch, pull.data(), kAdam, shared);  // layer by layer
      mlp->adam(w, kAdam, shared);
      rewire_a_tenth(*mlp, 0);
    }
    mlp->forward(w, batch, 2 * width, 1, shared);
    mlp->backward(w, batch, pull.data(), true, 11, shared);
    std::vector<float> result(w.output().begin(), w.output().end());
    result.insert(result.end(), w.input_gradient.begin(), w.input_gradient.end());
    for (const auto& operation : w.gradients)
      for (const Buffer<float>& gradient : operation) result.insert(result.end(), gradient.begin(), gradient.end());
    return result;
  };
  const std::vector<float> alone = compute(1);
  for (const int threads : {2, 3, 7})
    check(compute(threads) == alone,
          std::to_string(threads) + " threads in one layer, blocks of " + std::to_string(height));
}

// Regression with one output and classification with more: forward, gradient and step in one.
void test_fitting_in_threads(int32_t outputs) {
  const auto fit = [&](int threads) {
    rng.seed(10);
    const std::unique_ptr<Network> mlp = make_mlp({random_layer(90, 67, 0.5), random_layer(67, outputs, -1)});
    constexpr size_t kWidth = 2 * kLane;
    const std::vector<float> x = random_floats(2 * 90 * kWidth);
    const std::vector<float> targets = random_floats(2 * static_cast<size_t>(outputs) * kWidth);
    const std::vector<float> weights(2 * kWidth, 0.5f / kWidth);
    const Batch batch{x.data(), 90 * static_cast<ptrdiff_t>(kWidth), 2, 2};
    Workspace w(*mlp, true, true);
    Pool pool(threads);
    std::vector<float> told(targets.size());
    constexpr Adam kAdam{1e-2f, 0.9f, 0.999f, 1e-8f, 1e-4f};
    for (int step = 0; step < 5; ++step) {
      if (outputs == 1)
        mlp->regress(w, batch, 2 * kWidth, targets.data(), weights.data(), told.data(), kAdam, &pool);
      else
        mlp->classify(w, batch, 2 * kWidth, 1, targets.data(), weights.data(), told.data(), kAdam, &pool);
    }
    append_values(told, *mlp);
    return told;
  };
  check(fit(2) == fit(1) && fit(3) == fit(1), "fitting in threads, outputs " + std::to_string(outputs));
}

// y = x; calls `meanwhile` where a pass asks what it has learnt.
class Interruption final : public Operation {
 public:
  explicit Interruption(const OperationSpec& spec) : Operation(spec, spec.features[0]) {}
  static std::function<void()> meanwhile;
  const char* kind() const override { return "interruption"; }
  void forward(const Forward& tile, Part) const override {
    std::copy_n(tile.in[0], static_cast<size_t>(features * kLane * tile.vectors), tile.out);
  }
  void input_gradient(const Backward& tile, Part) const override {
    std::copy_n(tile.d_out, tile.numbers(features), tile.d_in[0]);
  }
  void act(const float* const* in, float* out, Epilogue) const override { std::copy_n(in[0], features, out); }
  std::vector<Learnable*> learnables() const override {
    if (meanwhile) std::exchange(meanwhile, nullptr)();
    return {};
  }
};
std::function<void()> Interruption::meanwhile;

// Another thread may change how many threads of the pool are in use at any time; a pass goes on with those it has.
void test_threads_in_use_that_change_during_a_pass() {
  register_operation("interruption", [](const OperationSpec& spec) -> std::unique_ptr<Operation> {
    return std::make_unique<Interruption>(spec);
  });
  const std::vector<float> x = random_floats(130 * 32), pull = random_floats(130 * 32);
  const std::vector<float> values = random_floats(130 * 130);
  const auto gradients = [&](int before, int after) {
    std::vector<OperationSpec> specs;
    for (int32_t i = 0; i < 4; ++i) {
      OperationSpec spec;
      spec.kind = i == 1 ? "interruption" : "linear";
      spec.name = std::to_string(i);
      spec.inputs = {i};
      if (i != 1) {
        spec.numbers = {{"n_out", 130}, {"bias", 1}};
        spec.format = "dense";
        spec.values = values.data();
        spec.connections = values.size();
      }
      specs.push_back(std::move(spec));
    }
    Network network(130, std::move(specs), true);
    const Batch batch{x.data(), 130 * 32, 1, 2};
    Workspace w(network, true, true, false);  // whose gradients share memory where there is one thread
    Pool pool(3);
    pool.use(before);
    network.forward(w, batch, 32, 1, &pool);
    Interruption::meanwhile = [&] { pool.use(after); };
    network.backward(w, batch, pull.data(), true, 0, &pool);
    check(pool.threads() == after, "threads that changed");
    std::vector<float> result(w.input_gradient.begin(), w.input_gradient.end());
    for (const auto& operation : w.gradients)
      for (const Buffer<float>& gradient : operation) result.insert(result.end(), gradient.begin(), gradient.end());
    return result;
  };
  const std::vector<float> expected = gradients(1, 1);
  for (const int before : {1, 2, 3})
    for (const int after : {1, 2, 3})
      check(gradients(before, after) == expected, "threads in use that change during a pass");
}

}  // namespace

// Four threads predict and act on one network: alone they get what one would; beside learning what they get is of some
// step or other, and what is learnt is the same.
void test_predicting_beside_learning(int height) {
  const auto learn = [&](bool beside) {
    rng.seed(11);
    const std::unique_ptr<Network> network = random_mlp(20, true, height);
    const std::vector<float> x = random_floats(3 * 20 * 32), pull = random_floats(3 * 3 * 32);
    const Batch batch{x.data(), 20 * 32, 3, 2};
    const Buffer<float> expected = network->predict(batch);
    std::vector<float> acted(3);
    network->act(x.data(), acted.data());
    std::atomic<bool> learnt{!beside}, right{true};
    const auto predict = [&](bool held) {
      for (int round = 0; round < 10 || !learnt; ++round) {
        const Buffer<float> y = network->predict(batch);
        std::vector<float> one(3);
        network->act(x.data(), one.data());
        if (held) right = right && one == acted && std::equal(y.begin(), y.end(), expected.begin());
        for (const float value : y) right = right && std::isfinite(value);
      }
    };
    learnt = true;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(predict, true);
    for (std::thread& thread : threads) thread.join();
    threads.clear();
    learnt = !beside;
    if (beside)
      for (int i = 0; i < 4; ++i) threads.emplace_back(predict, false);
    Workspace w(*network, true, true);
    Pool pool(2);
    for (int step = 0; step < 12; ++step) {
      network->forward(w, batch, 96, 1, &pool);
      network->step(w, batch, pull.data(), {1e-2f, 0.9f, 0.999f, 1e-8f, 1e-4f}, &pool);
      if (step % 4 == 3) rewire_a_tenth(*network, 0);
    }
    learnt = true;
    for (std::thread& thread : threads) thread.join();
    check(right, "predicting in four threads");
    std::vector<float> result;
    append_values(result, *network);
    return result;
  };
  check(learn(true) == learn(false), "predicting beside learning changes nothing");
}

void test_threads() {
  for (const int height : {1, 4}) {
    test_networks_in_threads(height);
    test_layers_in_threads(height);
  }
  for (const int32_t outputs : {1, 5}) test_fitting_in_threads(outputs);
  test_pools_that_come_and_go();
  test_threads_in_use_that_change_during_a_pass();
}

}  // namespace rewirl
