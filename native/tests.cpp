// The core against plain double loops, to be run under sanitizers: every array that goes in has exactly the size it needs.
//
//   native_tests          everything, on every instruction set of this machine
//   native_tests pool     the threads only
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cpu.hpp"
#include "mlp.hpp"
#include "pool.hpp"

using namespace rewirl;

namespace {

int passed = 0, failed = 0;
std::mt19937 rng(1);

void check(bool condition, const std::string& what) {
  ++(condition ? passed : failed);
  if (!condition) std::printf("FAILED on %s: %s\n", kernels().name, what.c_str());
}

template <class Exception, class Call>
void check_throws(Call call, const std::string& what) {
  bool thrown = false;
  try {
    call();
  } catch (const Exception&) {
    thrown = true;
  }
  check(thrown, what + " should throw");
}

float uniform(float low = -1.0f, float high = 1.0f) { return std::uniform_real_distribution<float>(low, high)(rng); }

std::vector<float> random_floats(size_t n) {
  std::vector<float> x(n);
  for (float& value : x) value = uniform();
  return x;
}

// A sum of products together with what float32 may get wrong in it: a unit of the sum of magnitudes for each term.
struct Sum {
  double value = 0.0, magnitude = 0.0;
  int terms = 2;
  void add(double product) {
    value += product;
    magnitude += std::fabs(product);
    ++terms;
  }
  bool near(double found) const { return std::fabs(found - value) <= terms * std::ldexp(magnitude, -24) + 1e-30; }
};

std::vector<int64_t> random_places(int n_out, int n_in, double density) {
  std::vector<int64_t> places;
  const int empty_row = n_out > 2 ? n_out / 2 : -1, full_row = n_out > 2 ? n_out - 1 : -1;
  for (int64_t p = 0; p < int64_t{n_out} * n_in; ++p) {
    const bool exists = density >= 1.0 || (density > 0.0 && (p / n_in == full_row || uniform(0, 1) < density));
    if (exists && (density >= 1.0 || p / n_in != empty_row)) places.push_back(p);
  }
  std::shuffle(places.begin(), places.end(), rng);
  return places;
}

Layer random_layer(int n_in, int n_out, double density, bool trainable = true) {  // density < 0: dense
  const std::vector<int64_t> places = random_places(n_out, n_in, density < 0 ? 1.0 : density);
  const std::vector<float> values = random_floats(places.size());
  static const int64_t none = 0;
  Layer layer(n_in, n_out, density < 0 ? nullptr : places.empty() ? &none : places.data(), places.size(), values.data(),
              trainable);
  for (float& b : layer.bias) b = uniform();
  return layer;
}

std::vector<float> matrix(const Layer& layer) {
  std::vector<float> w(static_cast<size_t>(layer.n_in()) * layer.n_out());
  const std::vector<int64_t> places = layer.places();
  for (size_t k = 0; k < places.size(); ++k) w[static_cast<size_t>(places[k])] = layer.values[k];
  return w;
}

void test_layer(int n_in, int n_out, double density, int vectors) {
  Layer layer = random_layer(n_in, n_out, density);
  const size_t width = static_cast<size_t>(kLane) * vectors, ins = n_in, outs = n_out;
  const std::string what = std::to_string(n_out) + " x " + std::to_string(n_in) + ", density " + std::to_string(density) +
                           ", " + std::to_string(vectors) + " vectors: ";
  const std::vector<float> w = matrix(layer), x = random_floats(ins * width), dy = random_floats(outs * width);
  for (const bool relu : {false, true}) {
    std::vector<float> y(outs * width, NAN);
    layer.forward(x.data(), y.data(), vectors, relu);
    bool good = true;
    for (size_t r = 0; r < outs; ++r)
      for (size_t s = 0; s < width; ++s) {
        Sum sum;
        sum.add(layer.bias[r]);
        for (size_t c = 0; c < ins; ++c) sum.add(double{w[r * ins + c]} * x[c * width + s]);
        if (relu && sum.value < 0) sum.value = 0;
        good &= sum.near(y[r * width + s]);
      }
    check(good, what + "forward");
  }

  for (const int from : {0, n_in / 2, n_in - 1})
    for (const bool gated : {false, true}) {
      std::vector<float> dx((ins - from) * width, NAN);
      const std::vector<float> gates = random_floats(gated ? ins * width : 0);
      layer.input_gradient(dy.data(), dx.data(), vectors, from, gated ? gates.data() : nullptr);
      bool good = true;
      for (size_t c = from; c < ins; ++c)
        for (size_t s = 0; s < width; ++s) {
          Sum sum;
          for (size_t r = 0; r < outs; ++r) sum.add(double{w[r * ins + c]} * dy[r * width + s]);
          if (gated && !(gates[c * width + s] > 0)) sum = Sum{};
          good &= sum.near(dx[(c - from) * width + s]);
        }
      check(good, what + "input gradient from " + std::to_string(from));
    }

  std::vector<float> scratch((ins + kPanel - 1) / kPanel * kPanel * width, NAN);
  const std::vector<int64_t> places = layer.places();
  for (const int times : {1, 2}) {
    layer.connection_gradient(dy.data(), x.data(), vectors, times == 2, scratch.data());
    bool good = true;
    for (size_t k = 0; k < places.size(); ++k) {
      const size_t r = static_cast<size_t>(places[k] / n_in), c = static_cast<size_t>(places[k] % n_in);
      Sum sum;
      for (int t = 0; t < times; ++t)
        for (size_t s = 0; s < width; ++s) sum.add(double{dy[r * width + s]} * x[c * width + s]);
      good &= sum.near(layer.gradient[k]);
    }
    check(good, what + "connection gradient");
    good = true;
    for (size_t r = 0; r < outs; ++r) {
      Sum sum;
      for (int t = 0; t < times; ++t)
        for (size_t s = 0; s < width; ++s) sum.add(dy[r * width + s]);
      good &= sum.near(layer.bias_gradient[r]);
    }
    check(good, what + "bias gradient");
  }

  std::vector<float> single(ins), y(outs, NAN);
  for (size_t c = 0; c < ins; ++c) single[c] = x[c * width];
  layer.act(single.data(), y.data(), true);
  bool good = true;
  for (size_t r = 0; r < outs; ++r) {
    Sum sum;
    sum.add(layer.bias[r]);
    for (size_t c = 0; c < ins; ++c) sum.add(double{w[r * ins + c]} * single[c]);
    if (sum.value < 0) sum.value = 0;
    good &= sum.near(y[r]);
  }
  check(good, what + "act");
}

void test_elementwise() {
  for (size_t n = 0; n <= 40; ++n) {
    std::vector<float> w = random_floats(n), v = random_floats(n);
    const std::vector<float> g = random_floats(n), m = random_floats(n), online = random_floats(n), before = w;
    for (float& x : v) x = std::fabs(x);
    const AdamStep step{0.01f, 1.5f, 0.9f, 0.999f, 1e-8f, 0.1f};
    std::vector<float> w1 = w, m1 = m, v1 = v, w2 = w, m2 = m, v2 = v;
    kernels().adam(n, w1.data(), g.data(), m1.data(), v1.data(), step);
    bool good = true;
    for (size_t i = 0; i < n; ++i) {
      const double gradient = g[i] + double{step.weight_decay} * w[i];
      const double first = 0.9 * m[i] + 0.1 * gradient, second = 0.999 * v[i] + 0.001 * gradient * gradient;
      const double expected = w[i] - 0.01 * first / (std::sqrt(second) * 1.5 + 1e-8);
      good &= std::fabs(m1[i] - first) < 1e-6 && std::fabs(v1[i] - second) < 1e-6 && std::fabs(w1[i] - expected) < 1e-5;
    }
    check(good, "adam of " + std::to_string(n));

    const std::vector<float> sizes{0.0f, 0.5f, 0.01f}, roots{0.0f, 3.0f, 1.5f};
    const std::vector<uint32_t> old(n, 0);
    kernels().adam_by_age(n, w2.data(), g.data(), m2.data(), v2.data(), step, old.data(), 9, sizes.data(), roots.data(), 3);
    check(w1 == w2 && m1 == m2 && v1 == v2, "adam by age of " + std::to_string(n));

    for (const float* from : {online.data(), static_cast<const float*>(nullptr)}) {
      w = before;
      kernels().interpolate(n, w.data(), from, 0.25f);
      good = true;
      for (size_t i = 0; i < n; ++i) good &= std::fabs(w[i] - ((from ? 0.25 * from[i] : 0.0) + 0.75 * before[i])) < 1e-6;
      check(good, "interpolate " + std::to_string(n));
    }

    w = before;
    for (size_t i = 0; i < n; i += 3) w[i] = i % 2 ? -0.0f : 0.0f;
    if (n > 4) w[4] = 0.5f;
    if (n > 7) w[7] = -0.25f;
    for (const float low : {0.0f, 0.25f}) {
      std::vector<uint32_t> index(n + kLane), expected;
      const Small found = kernels().small(n, w.data(), low, 0.5f, index.data());
      size_t zeros = 0, below = 0;
      for (size_t i = 0; i < n; ++i) {
        const float magnitude = std::fabs(w[i]);
        if (magnitude != 0 && magnitude >= low && magnitude <= 0.5f) expected.push_back(static_cast<uint32_t>(i));
        below += magnitude != 0 && magnitude < low;
        zeros += magnitude == 0;
      }
      index.resize(found.found);
      check(index == expected && found.zeros == zeros && found.below == below, "small magnitudes of " + std::to_string(n));
    }
    std::vector<float> expected_cut = w, found_cut = w;
    if (n > 0) expected_cut[n - 1] = found_cut[n - 1] = NAN;
    for (float& x : expected_cut)
      if (std::fabs(x) < 0.25f) x = 0.0f;
    kernels().cut(n, found_cut.data(), 0.25f);
    good = true;
    for (size_t i = 0; i < n; ++i) good &= found_cut[i] == expected_cut[i] || (std::isnan(found_cut[i]) && std::isnan(expected_cut[i]));
    check(good, "cut of " + std::to_string(n));
  }
}

void test_index() {
  for (const int64_t columns : {1, 63, 64, 65, 200, 1000, 200000})
    for (const int64_t connections : {int64_t{0}, int64_t{1}, columns * 3, columns * 30}) {
      const int block = blocking(30, columns, std::min(connections, 30 * columns)).block;
      check(block >= 1 && block <= 65536 && block <= columns, "block of " + std::to_string(columns) + " columns");
    }
  const float value = 1.0f, two[] = {1.0f, 2.0f};
  const int64_t beyond = 12, negative = -1, twice[] = {5, 5};
  check_throws<std::invalid_argument>([&] { Layer(4, 3, &beyond, 1, &value, true); }, "a place beyond the end");
  check_throws<std::invalid_argument>([&] { Layer(4, 3, &negative, 1, &value, true); }, "a negative place");
  check_throws<std::invalid_argument>([&] { Layer(4, 3, twice, 2, two, true); }, "a place given twice");
  check_throws<std::invalid_argument>([&] { Layer(4, 3, nullptr, 1, &value, true); }, "a dense layer without its values");
  const int64_t far = int64_t{100000} * 100000 - 1;  // columns beyond the reach of 16 bits
  Layer wide(100000, 100000, &far, 1, &value, true);
  check(wide.places() == std::vector<int64_t>{far}, "the last place of a wide layer");
}

// Every instruction set computes with panels, whether it would choose them or not: a layer may have been built for another one.
void test_panels(int rows, int columns, int block, int vectors) {
  const std::vector<float> w = random_floats(static_cast<size_t>(rows) * columns);
  const auto exists = [&](int r, int c) { return w[static_cast<size_t>(r) * columns + c] > -0.2f; };
  std::vector<uint32_t> start{0};
  std::vector<uint16_t> column;
  std::vector<float> values;
  std::vector<int> row_of, column_of;
  const int blocks = (columns + block - 1) / block, panels = (rows + kPanelRows - 1) / kPanelRows;
  for (int b = 0; b < blocks; ++b)
    for (int p = 0; p < panels; ++p)
      for (int pattern = 1; pattern < 1 << kPanelRows; ++pattern) {
        for (int c = b * block; c < std::min(columns, (b + 1) * block); ++c) {
          int found = 0;
          for (int r = 0; r < kPanelRows; ++r)
            if (p * kPanelRows + r < rows && exists(p * kPanelRows + r, c)) found |= 1 << r;
          for (int r = 0; r < kPanelRows && found == pattern; ++r)
            if (pattern >> r & 1) {
              column.push_back(static_cast<uint16_t>(c - b * block));
              row_of.push_back(p * kPanelRows + r);
              column_of.push_back(c);
              values.push_back(w[static_cast<size_t>(row_of.back()) * columns + c]);
            }
        }
        start.push_back(static_cast<uint32_t>(column.size()));
      }
  const size_t width = static_cast<size_t>(kLane) * vectors, n = values.size();
  std::vector<uint32_t> backwards(n);  // where values are that lie the other way round
  for (size_t k = 0; k < n; ++k) backwards[k] = static_cast<uint32_t>(n - 1 - k);
  const std::vector<float> reversed(values.rbegin(), values.rend()), x = random_floats(columns * width), dy = random_floats(rows * width);
  for (const bool indirect : {false, true}) {
    const SparseMatrix a{rows, columns, block, blocks, kPanelRows, start.data(), column.data(), indirect ? backwards.data() : nullptr};
    std::vector<float> y(rows * width, NAN);
    kernels().spmm(a, indirect ? reversed.data() : values.data(), x.data(), y.data(), vectors, 0, rows, nullptr, Epilogue::none, nullptr);
    bool good = true;
    for (int r = 0; r < rows; ++r)
      for (size_t s = 0; s < width; ++s) {
        Sum sum;
        for (int c = 0; c < columns; ++c)
          if (exists(r, c)) sum.add(double{w[static_cast<size_t>(r) * columns + c]} * x[c * width + s]);
        good &= sum.near(y[r * width + s]);
      }
    check(good, "product with panels, " + std::to_string(vectors) + " vectors");
  }
  const SparseMatrix a{rows, columns, block, blocks, kPanelRows, start.data(), column.data(), nullptr};
  std::vector<float> gradient(n, NAN);
  kernels().sddmm(a, dy.data(), x.data(), gradient.data(), vectors, 0, rows, false);
  bool good = true;
  for (size_t k = 0; k < n; ++k) {
    Sum sum;
    for (size_t s = 0; s < width; ++s) sum.add(double{dy[row_of[k] * width + s]} * x[column_of[k] * width + s]);
    good &= sum.near(gradient[k]);
  }
  check(good, "connection gradient with panels, " + std::to_string(vectors) + " vectors");
}

// Drops the first tenth of the connections and grows as many elsewhere.
void rewire_a_tenth(Mlp& mlp, size_t l) {
  Layer& layer = mlp.layers[l];
  std::vector<int64_t> dropped(layer.connections() / 10), grown, all = layer.places();
  for (size_t i = 0; i < dropped.size(); ++i) dropped[i] = static_cast<int64_t>(i);
  const std::set<int64_t> occupied(all.begin(), all.end());
  while (grown.size() < dropped.size()) {
    const int64_t place = static_cast<int64_t>(rng() % (static_cast<uint64_t>(layer.n_in()) * layer.n_out()));
    if (!occupied.count(place) && std::find(grown.begin(), grown.end(), place) == grown.end()) grown.push_back(place);
  }
  layer.rewire(dropped.data(), dropped.size(), grown.data(), grown.size(), static_cast<uint32_t>(mlp.steps));
}

Mlp random_mlp(int n_in, bool trainable = true) {
  std::vector<Layer> layers;
  layers.push_back(random_layer(n_in, 70, 0.4, trainable));
  layers.push_back(random_layer(70, 33, 0.1, trainable));
  layers.push_back(random_layer(33, 3, -1, trainable));
  return Mlp(std::move(layers));
}

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
              for (int c = 0; c < layer.n_in(); ++c) z += h[l][c] * weights[l][static_cast<size_t>(r) * layer.n_in() + c];
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
      for (int r = 0; r < kOut; ++r) same &= std::fabs(y[static_cast<size_t>(r)] - mlp.output()[static_cast<size_t>(r) * width]) < 1e-4;
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
  for (size_t k = 0; k < layer.connections(); ++k) layer.m[k] = 2.0f * layer.values[k], layer.v[k] = 3.0f * layer.values[k];
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

void test_target() {
  Mlp online = random_mlp(40), target = random_mlp(40, false);
  for (size_t l = 0; l < online.layers.size(); ++l) {
    const Layer& from = online.layers[l];
    const std::vector<int64_t> places = from.places();
    target.layers[l] = Layer(from.n_in(), from.n_out(), from.dense() ? nullptr : places.data(), places.size(), from.values.data(), false);
  }
  TargetUpdate update(target, online, {});
  std::vector<std::vector<float>> expected;
  for (const Layer& layer : online.layers) expected.push_back(matrix(layer));
  for (int step = 1; step <= 60; ++step) {
    if (step % 10 == 0)
      for (size_t l = 0; l < 2; ++l) rewire_a_tenth(online, l);
    for (Layer& layer : online.layers)
      for (float& w : layer.values) w += uniform(-0.05f, 0.05f);
    update.update(0.125f);
    for (size_t l = 0; l < online.layers.size(); ++l) {
      const std::vector<float> now = matrix(online.layers[l]), found = matrix(target.layers[l]);
      const size_t k = online.layers[l].connections();
      std::vector<float> magnitudes;
      for (size_t i = 0; i < now.size(); ++i) {
        expected[l][i] = static_cast<float>(0.125 * now[i] + 0.875 * expected[l][i]);
        magnitudes.push_back(std::fabs(expected[l][i]));
      }
      std::sort(magnitudes.begin(), magnitudes.end(), std::greater<float>());
      const float cut = k < magnitudes.size() ? magnitudes[k] : -1.0f;  // the largest that goes
      size_t alive = 0;
      bool good = true;
      for (size_t i = 0; i < now.size(); ++i) {
        const bool unclear = std::fabs(std::fabs(expected[l][i]) - cut) < 1e-6f;
        const float goal = std::fabs(expected[l][i]) > cut ? expected[l][i] : 0.0f;
        good &= unclear || std::fabs(found[i] - goal) < 1e-5f;
        alive += found[i] != 0.0f;
        expected[l][i] = found[i];
      }
      check(good && alive <= k, "target of step " + std::to_string(step));
    }
  }
  rewire_a_tenth(online, 0);
  check(update.behind() == std::vector<bool>{true, false, false}, "which layers a target has yet to follow");
  TargetUpdate again(target, online, update.behind());
  rewire_a_tenth(online, 0);
  again.update(1.0f);
  check(matrix(target.layers[0]) == matrix(online.layers[0]), "tau of one copies");
  check_throws<std::invalid_argument>([&] { TargetUpdate wrong(target, online, {true}); }, "behind of another depth");
  Mlp other = random_mlp(41);
  check_throws<std::invalid_argument>([&] { TargetUpdate wrong(target, other, {}); }, "a target of another shape");
}

// Longer than anybody in the pool spins before sleeping.
void spin_beyond_a_wait() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
  while (std::chrono::steady_clock::now() < end) {
  }
}

void test_pool() {
  for (const int threads : {1, 2, 4}) {
    Pool pool(threads);
    check(pool.threads() == threads, "number of threads");
    for (int round = 0; round < 300; ++round) {
      const int tasks = round % 9;
      std::vector<int> done(static_cast<size_t>(tasks), 0);
      pool.run(tasks, [&](int i) { ++done[static_cast<size_t>(i)]; });
      if (!std::all_of(done.begin(), done.end(), [](int n) { return n == 1; })) check(false, "a task was not done once");
      if (round == 150) spin_beyond_a_wait();  // the workers fall asleep
    }
    std::atomic<int> late{0};
    for (int round = 0; round < 3; ++round)
      pool.run(threads, [&](int i) {
        if (i > 0) spin_beyond_a_wait();  // the caller falls asleep
        ++late;
      });
    check(late == 3 * threads, "tasks that take longer than a caller spins");
    check(true, "tasks");
    for (const int bad : {0, threads - 1})
      check_throws<std::runtime_error>(
          [&] { pool.run(4, [&](int i) { if (i == bad) throw std::runtime_error("task"); }); }, "a task that throws");
    int sum = 0;
    pool.run(1, [&](int) { ++sum; });
    pool.close();
    pool.close();
    pool.run(5, [&](int) { ++sum; });
    check(sum == 6 && pool.threads() == 1, "a closed pool works in the caller");
  }
  for (int i = 0; i < 30; ++i) Pool unused(3);

  Pool shared(3);
  std::vector<std::thread> callers;
  std::vector<long> sums(4, 0);
  for (size_t c = 0; c < sums.size(); ++c)
    callers.emplace_back([&, c] {
      for (int round = 0; round < 50; ++round) {
        std::vector<long> parts(5, 0);
        shared.run(5, [&](int i) { parts[static_cast<size_t>(i)] = i + 1; });
        for (long part : parts) sums[c] += part;
      }
    });
  shared.close();  // while it is in use
  for (std::thread& caller : callers) caller.join();
  check(std::all_of(sums.begin(), sums.end(), [](long sum) { return sum == 50 * 15; }), "several callers of one pool");
}

// A network with the connections and values of this one, in its order if it is not trainable, else sorted.
Mlp copy_of(const Mlp& network, bool trainable) {
  std::vector<Layer> layers;
  for (const Layer& from : network.layers) {
    const std::vector<int64_t> places = from.places();
    layers.emplace_back(from.n_in(), from.n_out(), from.dense() ? nullptr : places.data(), places.size(), from.values.data(), trainable);
    std::copy(from.bias.begin(), from.bias.end(), layers.back().bias.begin());
  }
  return Mlp(std::move(layers));
}

// A target has its values in the order of another topology; what it computes is always of its present ones.
void test_outputs_of_a_target() {
  Mlp online = random_mlp(20), target = copy_of(online, false);
  TargetUpdate soft(target, online, {});
  const std::vector<float> x = random_floats(20 * 32);
  const Batch batch{x.data(), 20 * 32, 1, 2};
  std::vector<float> one(20), found(3), expected(3);
  for (size_t c = 0; c < one.size(); ++c) one[c] = x[c * 32];
  for (int step = 0; step < 6; ++step) {
    if (step % 3 == 1)
      for (size_t l = 0; l < 2; ++l) rewire_a_tenth(online, l);
    for (const Layer& layer : online.layers)
      for (float& w : layer.values) w += 0.1f;
    soft.update(0.1f);
    Mlp sorted = copy_of(target, true);
    target.forward(batch);
    sorted.forward(batch);
    target.act(one.data(), found.data());
    sorted.act(one.data(), expected.data());
    check(std::equal(target.output().begin(), target.output().end(), sorted.output().begin()), "forward of a target");
    check(found == expected, "acting of a target");
  }
  check(target.layers[0].connections() > online.layers[0].connections(), "a target with stale places");
}

void test_networks_in_threads() {
  const auto train = [](int threads) {
    rng.seed(7);
    std::vector<Mlp> networks, targets;
    for (int i = 0; i < 3; ++i) networks.push_back(random_mlp(20));
    for (const Mlp& network : networks) targets.push_back(copy_of(network, false));
    std::vector<TargetUpdate> updates;
    for (size_t i = 0; i < networks.size(); ++i) updates.emplace_back(targets[i], networks[i], std::vector<bool>{});
    const std::vector<float> x = random_floats(20 * 32), pull = random_floats(3 * 32);
    const Batch batch{x.data(), 20 * 32, 1, 2};
    Pool pool(threads);
    constexpr Adam kAdam{1e-2f, 0.9f, 0.999f, 1e-8f, 1e-4f};
    for (int step = 0; step < 6; ++step) {
      pool.run(3, [&](int i) {
        Mlp& network = networks[static_cast<size_t>(i)];
        network.forward(batch);
        if (step % 2 == 0) {
          network.backward(batch, pull.data(), true, 0);
          network.adam(kAdam);
        } else {
          network.backward(batch, pull.data(), true, -1, nullptr, &kAdam);
        }
      });
      pool.run(3, [&](int i) { targets[static_cast<size_t>(i)].forward(batch); });  // whose threads share memory in passing
      if (step == 3)
        for (Mlp& network : networks) rewire_a_tenth(network, 0);
      pool.run(3, [&](int i) { updates[static_cast<size_t>(i)].update(0.1f); });
    }
    std::vector<float> result;
    for (const std::vector<Mlp>& group : {networks, targets})
      for (const Mlp& network : group)
        for (const Layer& layer : network.layers) result.insert(result.end(), layer.values.begin(), layer.values.end());
    return result;
  };
  const std::vector<float> alone = train(1);
  check(train(2) == alone && train(3) == alone, "networks in threads");
}

// Networks of one output learn while pools come and go, as agents do in one process.
void test_pools_that_come_and_go() {
  const auto train = [](int threads) {
    rng.seed(9);
    std::vector<Mlp> critics;
    for (int i = 0; i < 2; ++i) {
      std::vector<Layer> layers;
      layers.push_back(random_layer(20, 40, 0.5));
      layers.push_back(random_layer(40, 1, -1));
      critics.emplace_back(std::move(layers));
    }
    const std::vector<float> x = random_floats(20 * 32), targets = random_floats(32), weights(32, 1.0f / 32);
    const Batch batch{x.data(), 20 * 32, 1, 2};
    std::vector<std::vector<float>> errors(2, std::vector<float>(32));
    for (int step = 0; step < 20; ++step) {
      Pool pool(threads);
      pool.use(step % threads + 1);
      pool.run(2, [&](int i) {
        const size_t n = static_cast<size_t>(i);
        critics[n].regress(batch, targets.data(), weights.data(), errors[n].data(), {1e-2f, 0.9f, 0.999f, 1e-8f, 0.0f});
      });
      if (step % 3 == 0) pool.close();
    }
    return errors;
  };
  check(train(2) == train(1) && train(3) == train(1), "pools that come and go");
}

void test_layers_in_threads() {
  const auto compute = [](int threads) {
    rng.seed(8);
    std::vector<Layer> layers;
    layers.push_back(random_layer(90, 130, 0.5));
    layers.push_back(random_layer(130, 67, -1));
    layers.push_back(random_layer(67, 109, 0.8));
    layers.push_back(random_layer(109, 3, -1));
    Mlp mlp(std::move(layers));
    const size_t width = kLane * kMaxVectors;
    const std::vector<float> x = random_floats(2 * 90 * width), pull = random_floats(2 * 3 * width);
    const Batch batch{x.data(), static_cast<ptrdiff_t>(90 * width), 2, kMaxVectors};
    Pool pool(threads);
    Pool* shared = threads > 1 ? &pool : nullptr;
    mlp.count_ages();
    for (int step = 0; step < 2; ++step) {
      constexpr Adam kAdam{1e-3f, 0.9f, 0.999f, 1e-8f, 1e-4f};
      mlp.forward(batch, shared);
      mlp.backward(batch, pull.data(), true, -1, shared, &kAdam);  // layer by layer
      mlp.adam(kAdam, shared);
      rewire_a_tenth(mlp, 0);
    }
    mlp.forward(batch, shared);
    mlp.backward(batch, pull.data(), true, 11, shared);
    std::vector<float> result(mlp.output().begin(), mlp.output().end());
    result.insert(result.end(), mlp.input_gradient.begin(), mlp.input_gradient.end());
    for (const Layer& layer : mlp.layers) {
      result.insert(result.end(), layer.gradient.begin(), layer.gradient.end());
      result.insert(result.end(), layer.bias_gradient.begin(), layer.bias_gradient.end());
    }
    return result;
  };
  const std::vector<float> alone = compute(1);
  for (const int threads : {2, 3, 7}) check(compute(threads) == alone, std::to_string(threads) + " threads in one layer");
}

}  // namespace

int main(int count, char** arguments) {
  const bool pool_only = count > 1 && std::strcmp(arguments[1], "pool") == 0;
  if (count > 1 && !pool_only) {
    std::printf("usage: %s [pool]\n", arguments[0]);
    return 2;
  }
  test_pool();
  test_networks_in_threads();
  test_layers_in_threads();
  test_pools_that_come_and_go();
  if (!pool_only)
    for (const std::string& name : available_instruction_sets()) {
      use_instruction_set(name);
      for (const double density : {-1.0, 1.0, 0.5, 0.1, 0.0}) {
        for (int vectors = 1; vectors <= kMaxVectors; ++vectors) test_layer(67, 9, density, vectors);
        test_layer(1, 1, density, 1);
        test_layer(5, 3, density, 2);
        test_layer(64, 7, density, 1);
        test_layer(130, 20, density, 1);
        test_layer(300, 6, density, 2);
        test_layer(9, 150, density, 1);
      }
      for (int vectors = 1; vectors <= kMaxVectors; ++vectors) test_panels(20, 150, 64, vectors);
      test_elementwise();
      test_index();
      test_mlp();
      test_rewiring();
      test_target();
      test_outputs_of_a_target();
      test_networks_in_threads();
      test_layers_in_threads();
    }
  check_throws<std::invalid_argument>([] { use_instruction_set("none"); }, "an unknown instruction set");
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
