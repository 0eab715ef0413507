// Layers, and the kernels of panels, against double loops.
#include "native_test.hpp"

namespace rewirl {

namespace {

void test_layer(int n_in, int n_out, double density, int vectors) {
  const LayerData data = random_layer(n_in, n_out, density);
  const std::unique_ptr<Weights> layer = weights_of(data);
  const float* bias = data.bias.data();
  const size_t width = static_cast<size_t>(kLane) * vectors, ins = n_in, outs = n_out;
  const std::string what = std::to_string(n_out) + " x " + std::to_string(n_in) + ", density " +
                           std::to_string(density) + ", " + std::to_string(vectors) + " vectors: ";
  const std::vector<float> w = matrix(*layer), x = random_floats(ins * width), dy = random_floats(outs * width);
  for (const bool relu : {false, true}) {
    std::vector<float> y(outs * width, NAN);
    layer->forward(x.data(), y.data(), vectors, bias, relu ? Epilogue::relu : Epilogue::none, {});
    bool good = true;
    for (size_t r = 0; r < outs; ++r)
      for (size_t s = 0; s < width; ++s) {
        Sum sum;
        sum.add(bias[r]);
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
      layer->input_gradient(dy.data(), dx.data(), vectors, from, gated ? gates.data() : nullptr, {});
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
  const std::vector<int64_t> places = layer->places();
  std::vector<float> gradient(places.size(), NAN), sums(outs, NAN);
  for (const int times : {1, 2}) {
    layer->weight_gradient(dy.data(), x.data(), gradient.data(), vectors, times == 2, scratch.data(), {});
    bool good = true;
    for (size_t k = 0; k < places.size(); ++k) {
      const size_t r = static_cast<size_t>(places[k] / n_in), c = static_cast<size_t>(places[k] % n_in);
      Sum sum;
      for (int t = 0; t < times; ++t)
        for (size_t s = 0; s < width; ++s) sum.add(double{dy[r * width + s]} * x[c * width + s]);
      good &= sum.near(gradient[k]);
    }
    check(good, what + "weight gradient");
    kernels().row_sums(n_out, dy.data(), sums.data(), vectors, times == 2);
    good = true;
    for (size_t r = 0; r < outs; ++r) {
      Sum sum;
      for (int t = 0; t < times; ++t)
        for (size_t s = 0; s < width; ++s) sum.add(dy[r * width + s]);
      good &= sum.near(sums[r]);
    }
    check(good, what + "sums of rows");
  }

  std::vector<float> single(ins), y(outs, NAN);
  for (size_t c = 0; c < ins; ++c) single[c] = x[c * width];
  layer->act(single.data(), y.data(), bias, true);
  bool good = true;
  for (size_t r = 0; r < outs; ++r) {
    Sum sum;
    sum.add(bias[r]);
    for (size_t c = 0; c < ins; ++c) sum.add(double{w[r * ins + c]} * single[c]);
    if (sum.value < 0) sum.value = 0;
    good &= sum.near(y[r]);
  }
  check(good, what + "act");
}

// Every instruction set computes with panels, whether it would choose them or not: a layer may have been built for
// another one.
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
  const std::vector<float> reversed(values.rbegin(), values.rend()), x = random_floats(columns * width),
                                                                     dy = random_floats(rows * width);
  for (const bool indirect : {false, true}) {
    const SparseMatrix a{rows,       columns,      block,         blocks,
                         kPanelRows, start.data(), column.data(), indirect ? backwards.data() : nullptr};
    std::vector<float> y(rows * width, NAN);
    kernels().spmm(a, indirect ? reversed.data() : values.data(), x.data(), y.data(), vectors, 0, rows, nullptr,
                   Epilogue::none, nullptr);
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

}  // namespace

void test_weights() {
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
}

}  // namespace rewirl
