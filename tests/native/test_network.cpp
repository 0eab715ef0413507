// Whole networks, and rewiring.
#include "native_test.hpp"

namespace rewirl {

namespace {

void test_mlp() {
  constexpr int kIn = 37, kOut = 3;
  Mlp mlp = random_mlp(kIn);
  mlp.count_ages();
  for (const int tiles : {1, 3})
    for (const int vectors : {1, 7, 8}) {
      const size_t width = static_cast<size_t>(kLane) * vectors, stride = (kIn + 2) * width;
      const std::vector<float> x = random_floats((tiles - 1) * stride + kIn * width);  // a slice of wider tiles
      const std::vector<float> pull = random_floats(static_cast<size_t>(tiles) * kOut * width);
      const Batch batch{x.data(), static_cast<ptrdiff_t>(stride), tiles, vectors};
      mlp.forward(batch);
      std::vector<std::vector<float>> weights;
      for (const Layer& layer : mlp.layers) weights.push_back(matrix(layer));
      bool forward = true, backward = true;
      for (int t = 0; t < tiles; ++t)
        for (size_t s = 0; s < width; s += 5) {
          std::vector<std::vector<double>> h{{}};
          for (int c = 0; c < kIn; ++c) h[0].push_back(batch.tile(t)[static_cast<size_t>(c) * width + s]);
          for (size_t l = 0; l < 3; ++l) {
            const Layer& layer = mlp.layers[l];
            h.emplace_back();
            for (int r = 0; r < layer.n_out(); ++r) {
              double z = layer.bias[r];
              for (int c = 0; c < layer.n_in(); ++c)
                z += h[l][c] * weights[l][static_cast<size_t>(r) * layer.n_in() + c];
              h.back().push_back(l < 2 ? std::max(z, 0.0) : z);
            }
          }
          for (int r = 0; r < kOut; ++r)
            forward &= std::fabs(mlp.output()[(static_cast<size_t>(t) * kOut + r) * width + s] - h[3][r]) < 1e-4;
        }
      check(forward, "forward of a network");
      mlp.backward(batch, pull.data(), true, 30);
      check(mlp.input_gradient.size() == static_cast<size_t>(tiles) * 7 * width, "size of the input gradient");
      for (float g : mlp.input_gradient) backward &= std::isfinite(g);
      for (const Layer& layer : mlp.layers)
        for (float g : layer.gradient) backward &= std::isfinite(g);
      check(backward, "gradients of a network");
      mlp.adam({1e-3f, 0.9f, 0.999f, 1e-8f, 1e-4f});
      for (size_t l = 0; l < 2; ++l) rewire_a_tenth(mlp, l);

      std::vector<float> one(kIn), y(kOut, NAN);
      for (int c = 0; c < kIn; ++c) one[static_cast<size_t>(c)] = x[static_cast<size_t>(c) * width];
      mlp.forward(batch);
      mlp.act(one.data(), y.data());
      bool same = true;
      for (int r = 0; r < kOut; ++r)
        same &= std::fabs(y[static_cast<size_t>(r)] - mlp.output()[static_cast<size_t>(r) * width]) < 1e-4;
      check(same, "acting is forward with one sample");
    }
  std::vector<Layer> unequal;
  unequal.push_back(random_layer(4, 5, 0.5));
  unequal.push_back(random_layer(6, 2, 0.5));
  check_throws<std::invalid_argument>([&] { Mlp wrong(std::move(unequal)); }, "layers that do not fit together");
}

void test_rewiring() {
  Mlp mlp = random_mlp(40);
  Layer& layer = mlp.layers[0];
  const std::vector<float> x = random_floats(40);
  std::vector<float> y(70);
  for (size_t k = 0; k < layer.connections(); ++k)
    layer.m[k] = 2.0f * layer.values[k], layer.v[k] = 3.0f * layer.values[k];
  for (int event = 0; event < 5; ++event) {
    const std::vector<float> before = matrix(layer);
    const size_t connections = layer.connections();
    rewire_a_tenth(mlp, 0);
    const std::vector<int64_t> places = layer.places();
    size_t zeros = 0;
    bool kept = layer.connections() == connections;
    for (size_t k = 0; k < connections; ++k) {
      kept &= layer.values[k] == 0.0f || layer.values[k] == before[static_cast<size_t>(places[k])];
      kept &= layer.m[k] == 2.0f * layer.values[k] && layer.v[k] == 3.0f * layer.values[k];
      zeros += layer.values[k] == 0.0f;
    }
    check(kept && zeros <= (event + 1) * connections / 10, "survivors keep weights and moments");
    const std::vector<float> w = matrix(layer);
    layer.act(x.data(), y.data(), false);
    bool same = true;
    for (size_t r = 0; r < 70; ++r) {
      Sum sum;
      sum.add(layer.bias[r]);
      for (size_t c = 0; c < 40; ++c) sum.add(double{w[r * 40 + c]} * x[c]);
      same &= sum.near(y[r]);
    }
    check(same, "acting uses the connections as they are now");
    const int64_t dropped = 0, occupied = places[1];
    check_throws<std::invalid_argument>([&] { layer.rewire(&dropped, 1, &occupied, 1, 0); }, "growing what is there");
    check(layer.places() == places, "a refused rewiring changes nothing");
  }
}

}  // namespace

void test_networks() {
  test_mlp();
  test_rewiring();
}

}  // namespace rewirl
