// An operation and a weight format, each added by a file and a line, are used by networks like those that always are.
#include "native_test.hpp"

namespace rewirl {

std::unique_ptr<Weights> make_by_column(const WeightsSpec& spec);
std::unique_ptr<Operation> make_square(const OperationSpec& spec);

namespace {

// linear (of this format), square, linear
std::unique_ptr<Network> network_of(const std::string& format, const std::vector<LayerData>& layers, bool trainable) {
  std::vector<OperationSpec> specs(3);
  for (size_t l = 0; l < 2; ++l) {
    OperationSpec& linear = specs[2 * l];
    linear.kind = "linear";
    linear.name = "layer" + std::to_string(l);
    linear.numbers = {{"n_out", layers[l].n_out}, {"bias", 1}};
    linear.format = format;
    linear.connections = layers[l].values.size();
    linear.values = layers[l].values.data();
  }
  specs[1].kind = "square";
  specs[1].name = "square";
  for (int32_t i = 0; i < 3; ++i) specs[static_cast<size_t>(i)].inputs = {i};
  return std::make_unique<Network>(layers[0].n_in, specs, trainable);
}

}  // namespace

void test_additions() {
  register_format("by_column", make_by_column);  // the line
  register_operation("square", make_square);     // and the other
  LayerData first = random_layer(9, 20, -1), second = random_layer(20, 3, -1);
  const std::unique_ptr<Network> plain = network_of("dense", {first, second}, true);
  const std::unique_ptr<Network> added = network_of("by_column", {first, second}, true);
  const std::unique_ptr<Network> target = network_of("by_column", {first, second}, false);
  TargetUpdate soft(*target, *added, {});
  const std::vector<float> x = random_floats(2 * 9 * 32), pull = random_floats(2 * 3 * 32);
  const Batch batch{x.data(), 9 * 32, 2, 2};
  for (Network* network : {plain.get(), added.get()}) {
    Workspace w(*network, true, true);
    for (int step = 0; step < 5; ++step) {
      network->forward(w, batch, 64);
      network->step(w, batch, pull.data(), {1e-2f, 0.9f, 0.999f, 1e-8f, 1e-4f});
    }
    network->forward(w, batch, 64);
    network->backward(w, batch, pull.data(), true, 0);
    std::vector<float> one(9), y(3);
    for (size_t c = 0; c < one.size(); ++c) one[c] = x[c * 32];
    network->act(one.data(), y.data());
    bool good = true;
    for (size_t r = 0; r < y.size(); ++r) good &= std::fabs(y[r] - w.output()[r * 32]) < 1e-4f;
    check(good, "acting with an added operation");
  }
  soft.update(1.0f);
  bool same = true, followed = true;
  for (size_t l = 0; l < 3; l += 2) {
    const std::vector<float> a = matrix(*plain->linear(l).weights()), b = matrix(*added->linear(l).weights());
    for (size_t i = 0; i < a.size(); ++i) same &= std::fabs(a[i] - b[i]) < 1e-4f;
    followed &= matrix(*target->linear(l).weights()) == b;
  }
  const Buffer<float>&one = plain->array(1, "scale").values, &other = added->array(1, "scale").values;
  for (size_t f = 0; f < one.size(); ++f) same &= std::fabs(one[f] - other[f]) < 1e-4f && one[f] != 1.0f;
  check(same, "an added format learns what a dense one does");
  check(followed && std::equal(other.begin(), other.end(), target->array(1, "scale").values.begin()),
        "targets of an added operation and format");

  // What was learnt is saved by the names of operations and arrays, and put back.
  const std::unique_ptr<Network> restored = network_of("by_column", {first, second}, true);
  for (size_t i = 0; i < added->operations().size(); ++i)
    for (const Learnable* learnable : added->operations()[i]->learnables())
      restored->set_values(restored->index_of(added->operations()[i]->name), learnable->name, learnable->values.data());
  const Buffer<float> before = added->predict(batch), after = restored->predict(batch);
  check(std::equal(before.begin(), before.end(), after.begin()), "an added operation and format, saved and restored");
  std::vector<OperationSpec> unknown(1);
  unknown[0].kind = "cube";
  unknown[0].name = "cube";
  unknown[0].inputs = {0};
  check_throws<std::invalid_argument>([&] { Network(3, unknown, true); }, "an operation nobody has added");
}

}  // namespace rewirl
