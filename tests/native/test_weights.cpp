// Layers, and the kernels of panels, against double loops.
#include "native_test.hpp"

namespace rewirl {

namespace {

// Every part of the work of several threads gives what one thread gives.
void test_parts(const Weights& layer, int vectors, const std::string& what) {
  const size_t width = static_cast<size_t>(kLane) * vectors, ins = static_cast<size_t>(layer.n_in()),
               outs = static_cast<size_t>(layer.n_out());
  const std::vector<float> x = random_floats(ins * width), dy = random_floats(outs * width);
  const std::vector<float> bias = random_floats(outs);
  std::vector<float> y, dx, gradient, scratch(layer.scratch_rows() * width);
  for (const int count : {1, 2, 3, 7}) {
    std::vector<float> own_y(outs * width, NAN), own_dx(ins * width, NAN), own(layer.connections(), NAN);
    std::vector<char> moved(own.size(), 0);
    for (int index = 0; index < count; ++index) {
      const Part part{index, count};
      layer.forward(x.data(), own_y.data(), vectors, bias.data(), Epilogue::relu, part);
      layer.input_gradient(dy.data(), own_dx.data(), vectors, 0, x.data(), part);
      layer.weight_gradient(dy.data(), x.data(), own.data(), vectors, false, scratch.data(), part);
      layer.stretches(part, [&](size_t begin, size_t end) {
        for (size_t k = begin; k < end; ++k) ++moved[k];
      });
    }
    if (count == 1) y = own_y, dx = own_dx, gradient = own;
    check(y == own_y && dx == own_dx && gradient == own, what + std::to_string(count) + " parts");
    check(std::count(moved.begin(), moved.end(), 1) == static_cast<ptrdiff_t>(moved.size()), what + "stretches");
  }
}

// All tiles of a batch at once, the inputs with something between them.
void test_batch_gradient(const Weights& layer, int vectors, int tiles, const std::string& what) {
  if (!layer.whole_batch()) return;
  const size_t width = static_cast<size_t>(kLane) * vectors, ins = static_cast<size_t>(layer.n_in()),
               outs = static_cast<size_t>(layer.n_out()), stride = (ins + 3) * width;
  const std::vector<float> x = random_floats(stride * static_cast<size_t>(tiles));
  const std::vector<float> dy = random_floats(outs * width * static_cast<size_t>(tiles));
  std::vector<float> gradient(layer.connections(), NAN);
  for (int index = 0; index < 2; ++index)
    layer.batch_gradient(dy.data(), {x.data(), static_cast<ptrdiff_t>(stride), tiles, vectors}, gradient.data(),
                         {index, 2});
  const std::vector<int64_t> places = layer.places();
  bool good = true;
  for (size_t k = 0; k < places.size(); ++k) {
    const size_t r = static_cast<size_t>(places[k]) / ins, c = static_cast<size_t>(places[k]) % ins;
    Sum sum;
    for (size_t t = 0; t < static_cast<size_t>(tiles); ++t)
      for (size_t s = 0; s < width; ++s)
        sum.add(double{dy[(t * outs + r) * width + s]} * x[t * stride + c * width + s]);
    good &= sum.near(gradient[k]);
  }
  check(good, what + "gradient of a batch");
}

void test_layer(int n_in, int n_out, double density, int vectors, int height = 1) {
  const LayerData data = random_layer(n_in, n_out, density, height);
  const std::unique_ptr<Weights> layer = weights_of(data);
  const float* bias = data.bias.data();
  const size_t width = static_cast<size_t>(kLane) * vectors, ins = n_in, outs = n_out;
  const std::string what = std::to_string(n_out) + " x " + std::to_string(n_in) + ", density " +
                           std::to_string(density) + ", " + std::to_string(vectors) + " vectors, height " +
                           std::to_string(height) + ": ";
  test_parts(*layer, vectors, what);
  test_batch_gradient(*layer, vectors, 3, what);
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

// What keeps the order it was given in computes the same as what has its own, whatever that order is.
void test_given_order(int height) {
  const LayerData data = random_layer(30, 21, 0.4, height);
  const std::unique_ptr<Weights> own = weights_of(data), given = weights_of(data, false);
  const std::vector<float> x = random_floats(30 * 32);
  std::vector<float> y(21 * 32), again(21 * 32);
  own->forward(x.data(), y.data(), 2, data.bias.data(), Epilogue::none, {});
  given->forward(x.data(), again.data(), 2, data.bias.data(), Epilogue::none, {});
  check(y == again && given->places() == data.places, "blocks in another order, height " + std::to_string(height));
}

// Refused, and nothing changes: a part of a block, a block twice, another height.
void test_whole_blocks() {
  LayerData data = random_layer(10, 11, 0.5, 4);
  const std::unique_ptr<Weights> weights = weights_of(data);
  const int64_t one = 0;
  check_throws<std::invalid_argument>([&] { weights->rewired(&one, 1, nullptr, 0, 0, false); },
                                      "a part of a block to drop");
  const std::vector<int64_t> places = weights->places();
  const std::set<int64_t> occupied(places.begin(), places.end());
  for (int64_t free = 0; free < 10; ++free)
    if (!occupied.count(free)) {
      check_throws<std::invalid_argument>([&] { weights->rewired(nullptr, 0, &free, 1, 0, false); },
                                          "a part of a block to grow");
      break;
    }
  check_throws<std::invalid_argument>([&] { weights->rewired(nullptr, 0, places.data(), 4, 0, false); },
                                      "a block twice");
  LayerData twice = data;
  twice.places.push_back(twice.places[0]);
  twice.values.push_back(0.0f);
  check_throws<std::invalid_argument>([&] { weights_of(twice); }, "a place twice");
  for (const int32_t height : {0, 9, -1}) {
    data.height = height;
    check_throws<std::invalid_argument>(
        [&] {
          make_weights("blocks", {data.n_in, data.n_out, data.places.data(), data.values.size(), data.values.data(),
                                  true, nullptr, height});
        },
        "blocks of height " + std::to_string(height));
  }
}

// More inputs than 16 bits number.
void test_many_inputs() {
  const LayerData data = random_layer(70000, 12, 0.001, 8);
  const std::unique_ptr<Weights> weights = weights_of(data);
  const std::vector<float> w = matrix(*weights), x = random_floats(70000 * 16);
  std::vector<float> y(12 * 16), one(12), single(70000);
  for (size_t c = 0; c < 70000; ++c) single[c] = x[c * 16];
  weights->forward(x.data(), y.data(), 1, nullptr, Epilogue::none, {});
  weights->act(single.data(), one.data(), nullptr, false);
  bool good = true;
  for (size_t r = 0; r < 12; ++r)
    for (size_t s = 0; s < 16; ++s) {
      Sum sum;
      for (size_t c = 0; c < 70000; ++c)
        if (w[r * 70000 + c] != 0.0f) sum.add(double{w[r * 70000 + c]} * x[c * 16 + s]);
      good &= sum.near(y[r * 16 + s]) && (s > 0 || sum.near(one[r]));
    }
  check(good, "70,000 inputs");
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
  const std::vector<float> bias = random_floats(rows), gates = random_floats(rows * width);
  for (const bool indirect : {false, true})
    for (const Epilogue epilogue : {Epilogue::none, Epilogue::relu, Epilogue::gate}) {
      const SparseMatrix a{rows,       columns,      block,         blocks,
                           kPanelRows, start.data(), column.data(), indirect ? backwards.data() : nullptr};
      const int first = epilogue == Epilogue::relu ? 4 : 0, end = first == 0 ? rows : rows - 3;  // parts of a panel too
      std::vector<float> y(static_cast<size_t>(end - first) * width, NAN);
      kernels().spmm(a, indirect ? reversed.data() : values.data(), x.data(), y.data(), vectors, first, end,
                     epilogue == Epilogue::gate ? nullptr : bias.data(), epilogue, gates.data());
      bool good = true;
      for (int r = first; r < end; ++r)
        for (size_t s = 0; s < width; ++s) {
          Sum sum;
          if (epilogue != Epilogue::gate) sum.add(bias[r]);
          for (int c = 0; c < columns; ++c)
            if (exists(r, c)) sum.add(double{w[static_cast<size_t>(r) * columns + c]} * x[c * width + s]);
          if (epilogue == Epilogue::relu && sum.value < 0) sum.value = 0;
          if (epilogue == Epilogue::gate && !(gates[r * width + s] > 0)) sum = Sum{};
          good &= sum.near(y[(r - first) * width + s]);
        }
      check(good, "product with panels, " + std::to_string(vectors) + " vectors");
    }
  const SparseMatrix a{rows, columns, block, blocks, kPanelRows, start.data(), column.data(), nullptr};
  std::vector<float> gradient(n, NAN);
  for (const int times : {1, 2}) {
    kernels().sddmm(a, dy.data(), x.data(), gradient.data(), vectors, 0, rows, times == 2);
    bool good = true;
    for (size_t k = 0; k < n; ++k) {
      Sum sum;
      for (int t = 0; t < times; ++t)
        for (size_t s = 0; s < width; ++s) sum.add(double{dy[row_of[k] * width + s]} * x[column_of[k] * width + s]);
      good &= sum.near(gradient[k]);
    }
    check(good, "connection gradient with panels, " + std::to_string(vectors) + " vectors");
  }
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
  test_layer(1100, 19, -1.0, 3);  // dense, deeper than what is summed at a time
  test_layer(43, 530, -1.0, 7);
  for (int height = 2; height <= kMaxHeight; ++height) {
    for (const double density : {1.0, 0.5, 0.1, 0.0}) {
      test_layer(67, 9, density, 1 + height % kMaxVectors, height);
      test_layer(1, 1, density, 1, height);
      test_layer(5, 3, density, 2, height);
      test_layer(41, 64, density, 7, height);
      test_layer(130, 21, density, 8, height);
    }
    test_given_order(height);
  }
  test_whole_blocks();
  test_many_inputs();
  for (int vectors = 1; vectors <= kMaxVectors; ++vectors) test_panels(20, 150, 64, vectors);
}

}  // namespace rewirl
