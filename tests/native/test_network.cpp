// Whole networks, and rewiring.
#include "native_test.hpp"

namespace rewirl {

namespace {

void test_mlp() {
  constexpr int kIn = 37, kOut = 3;
  const std::unique_ptr<Network> mlp = random_mlp(kIn);
  mlp->count_ages();
  Workspace w(*mlp, true, true);
  for (const int tiles : {1, 3})
    for (const int vectors : {1, 7, 8}) {
      const size_t width = static_cast<size_t>(kLane) * vectors, stride = (kIn + 2) * width;
      const std::vector<float> x = random_floats((tiles - 1) * stride + kIn * width);  // a slice of wider tiles
      const std::vector<float> pull = random_floats(static_cast<size_t>(tiles) * kOut * width);
      const Batch batch{x.data(), static_cast<ptrdiff_t>(stride), tiles, vectors};
      mlp->forward(w, batch, tiles * width);
      std::vector<std::vector<float>> weights;
      for (size_t l = 0; l < 3; ++l) weights.push_back(matrix(*layer_of(*mlp, l).weights()));
      bool forward = true, backward = true;
      for (int t = 0; t < tiles; ++t)
        for (size_t s = 0; s < width; s += 5) {
          std::vector<std::vector<double>> h{{}};
          for (int c = 0; c < kIn; ++c) h[0].push_back(batch.tile(t)[static_cast<size_t>(c) * width + s]);
          for (size_t l = 0; l < 3; ++l) {
            const Weights& layer = *layer_of(*mlp, l).weights();
            h.emplace_back();
            for (int r = 0; r < layer.n_out(); ++r) {
              double z = bias_of(*mlp, l)[r];
              for (int c = 0; c < layer.n_in(); ++c)
                z += h[l][c] * weights[l][static_cast<size_t>(r) * layer.n_in() + c];
              h.back().push_back(l < 2 ? std::max(z, 0.0) : z);
            }
          }
          for (int r = 0; r < kOut; ++r)
            forward &= std::fabs(w.output()[(static_cast<size_t>(t) * kOut + r) * width + s] - h[3][r]) < 1e-4;
        }
      check(forward, "forward of a network");
      const Buffer<float> alone = mlp->predict(batch);
      check(std::equal(alone.begin(), alone.end(), w.output().begin()), "predicting is forward");
      mlp->backward(w, batch, pull.data(), true, 30);
      check(w.input_gradient.size() == static_cast<size_t>(tiles) * 7 * width, "size of the input gradient");
      for (float g : w.input_gradient) backward &= std::isfinite(g);
      for (const auto& operation : w.gradients)
        for (const Buffer<float>& gradient : operation)
          for (float g : gradient) backward &= std::isfinite(g);
      check(backward, "gradients of a network");
      const double norm = norm_of(w.gradients);
      clip(w.gradients, norm, norm / 2);
      check(std::fabs(norm_of(w.gradients) / norm - 0.5) < 1e-4, "clipping halves the norm");
      mlp->adam(w, {1e-3f, 0.9f, 0.999f, 1e-8f, 1e-4f});
      for (size_t l = 0; l < 2; ++l) rewire_a_tenth(*mlp, l);
      check_throws<std::invalid_argument>([&] { mlp->adam(w, {1e-3f, 0.9f, 0.999f, 1e-8f, 1e-4f}); },
                                          "gradients of the topology before");

      std::vector<float> one(kIn), y(kOut, NAN);
      for (int c = 0; c < kIn; ++c) one[static_cast<size_t>(c)] = x[static_cast<size_t>(c) * width];
      mlp->forward(w, batch, tiles * width);
      mlp->act(one.data(), y.data());
      bool same = true;
      for (int r = 0; r < kOut; ++r)
        same &= std::fabs(y[static_cast<size_t>(r)] - w.output()[static_cast<size_t>(r) * width]) < 1e-4;
      check(same, "acting is forward with one sample");
    }
}

void test_arguments() {
  const std::unique_ptr<Network> mlp = random_mlp(20);
  const std::vector<float> x = random_floats(2 * 20 * 32), pull = random_floats(2 * 3 * 32);
  const Batch one{x.data(), 20 * 32, 1, 2}, two{x.data(), 20 * 32, 2, 2}, narrow{x.data(), 20 * 16, 1, 1};
  constexpr Adam kAdam{1e-2f, 0.9f, 0.999f, 1e-8f, 0.0f};
  Workspace w(*mlp, true, true);
  mlp->forward(w, one, 32);
  for (const Batch& other : {two, narrow}) {
    check_throws<std::invalid_argument>([&] { mlp->backward(w, other, pull.data(), true, 0); },
                                        "gradients of another batch");
    check_throws<std::invalid_argument>([&] { mlp->step(w, other, pull.data(), kAdam); }, "a step of another batch");
  }
  const std::vector<float> values(2);
  check_throws<std::invalid_argument>([&] { mlp->set_values(0, "bias", values.data(), values.size()); },
                                      "too few values");
}

void test_rewiring() {
  const std::unique_ptr<Network> mlp = random_mlp(40);
  Linear& layer = layer_of(*mlp, 0);
  const std::vector<float> x = random_floats(40);
  std::vector<float> y(70);
  {
    Weights& weights = *layer.weights();
    for (size_t k = 0; k < weights.connections(); ++k)
      weights.m[k] = 2.0f * weights.values[k], weights.v[k] = 3.0f * weights.values[k];
  }
  for (int event = 0; event < 5; ++event) {
    const std::vector<float> before = matrix(*layer.weights());
    const size_t connections = layer.weights()->connections();
    rewire_a_tenth(*mlp, 0);
    const Weights& weights = *layer.weights();
    const std::vector<int64_t> places = weights.places();
    size_t zeros = 0;
    bool kept = weights.connections() == connections;
    for (size_t k = 0; k < connections; ++k) {
      kept &= weights.values[k] == 0.0f || weights.values[k] == before[static_cast<size_t>(places[k])];
      kept &= weights.m[k] == 2.0f * weights.values[k] && weights.v[k] == 3.0f * weights.values[k];
      zeros += weights.values[k] == 0.0f;
    }
    check(kept && zeros <= (event + 1) * connections / 10, "survivors keep weights and moments");
    const std::vector<float> w = matrix(weights);
    weights.act(x.data(), y.data(), bias_of(*mlp, 0).data(), false);
    bool same = true;
    for (size_t r = 0; r < 70; ++r) {
      Sum sum;
      sum.add(bias_of(*mlp, 0)[r]);
      for (size_t c = 0; c < 40; ++c) sum.add(double{w[r * 40 + c]} * x[c]);
      same &= sum.near(y[r]);
    }
    check(same, "acting uses the connections as they are now");
    const int64_t dropped = 0, occupied = places[1];
    check_throws<std::invalid_argument>([&] { mlp->rewire(0, &dropped, 1, &occupied, 1); }, "growing what is there");
    check(layer.weights()->places() == places, "a refused rewiring changes nothing");
  }
}

}  // namespace

void test_networks() {
  test_mlp();
  test_arguments();
  test_rewiring();
}

}  // namespace rewirl
