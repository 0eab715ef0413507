// Products of batches that lie row by row, against double loops.
#include <thread>

#include "native_test.hpp"
#include "product.hpp"

namespace rewirl {

namespace {

void parallel(void (*work)(void*), void* data, unsigned threads, unsigned) {
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) others.emplace_back(work, data);
  work(data);
  for (std::thread& other : others) other.join();
}

// Rows have something between them that is never written to.
void test_product(int n_in, int n_out, int height, size_t samples, int width, bool shuffled) {
  std::vector<int64_t> places = random_places(n_out, n_in, 0.3, height);
  if (shuffled) std::shuffle(places.begin(), places.end(), rng);
  const Product product(n_out, n_in, height, places.data(), places.size());
  const size_t ins = static_cast<size_t>(n_in), outs = static_cast<size_t>(n_out), gap = 3;
  const size_t in_stride = ins + gap, out_stride = outs + gap;
  const std::vector<float> values = random_floats(places.size()), bias = random_floats(outs);
  const std::vector<float> x = random_floats(samples * in_stride), dy = random_floats(samples * out_stride);
  const std::string what = std::to_string(n_out) + " x " + std::to_string(n_in) + ", height " + std::to_string(height) +
                           ", " + std::to_string(samples) + " samples, width " + std::to_string(width) + ": ";
  std::vector<float> one_y, one_dx, one_values, one_bias;
  for (const int threads : {1, 3}) {
    const Team team{parallel, threads};
    std::vector<float> y(samples * out_stride, 7.0f), dx(samples * in_stride, 7.0f), of_values(places.size(), NAN),
        of_bias(outs, NAN);
    const ConstRows in{x.data(), static_cast<ptrdiff_t>(in_stride)};
    product.forward(team, values.data(), bias.data(), in, {y.data(), static_cast<ptrdiff_t>(out_stride)}, samples,
                    width);
    product.backward(team, values.data(), in, {dy.data(), static_cast<ptrdiff_t>(out_stride)},
                     {{dx.data(), static_cast<ptrdiff_t>(in_stride)}, of_values.data(), of_bias.data()}, samples,
                     width);
    if (threads == 1) one_y = y, one_dx = dx, one_values = of_values, one_bias = of_bias;
    check(y == one_y && dx == one_dx && of_values == one_values && of_bias == one_bias, what + "threads");
  }
  std::vector<Sum> y(samples * outs), dx(samples * ins), of_values(places.size()), of_bias(outs);
  for (size_t s = 0; s < samples; ++s) {
    for (size_t r = 0; r < outs; ++r) y[s * outs + r].add(bias[r]), of_bias[r].add(dy[s * out_stride + r]);
    for (size_t k = 0; k < places.size(); ++k) {
      const size_t r = static_cast<size_t>(places[k]) / ins, c = static_cast<size_t>(places[k]) % ins;
      y[s * outs + r].add(double{values[k]} * x[s * in_stride + c]);
      dx[s * ins + c].add(double{values[k]} * dy[s * out_stride + r]);
      of_values[k].add(double{x[s * in_stride + c]} * dy[s * out_stride + r]);
    }
  }
  bool good = true, untouched = true;
  for (size_t s = 0; s < samples; ++s) {
    for (size_t r = 0; r < outs; ++r) good &= y[s * outs + r].near(one_y[s * out_stride + r]);
    for (size_t c = 0; c < ins; ++c) good &= dx[s * ins + c].near(one_dx[s * in_stride + c]);
    for (size_t g = 0; g < gap; ++g)
      untouched &= one_y[s * out_stride + outs + g] == 7.0f && one_dx[s * in_stride + ins + g] == 7.0f;
  }
  for (size_t k = 0; k < places.size(); ++k) good &= of_values[k].near(one_values[k]);
  for (size_t r = 0; r < outs; ++r) good &= of_bias[r].near(one_bias[r]);
  check(good, what + "products");
  check(untouched, what + "nothing between the rows is written to");
}

}  // namespace

void test_products() {
  for (const int height : {1, 4, 8})
    for (const size_t samples : {size_t{1}, size_t{5}, size_t{33}, size_t{300}})
      for (const int width : {16, 48}) test_product(37, 27, height, samples, width, samples == 33);
  test_product(200, 150, 8, 900, 96, false);  // enough work for threads, and more tiles than are taken at once
  test_product(70, 90, 1, 900, 96, true);
  const int64_t twice[] = {3, 3};
  check_throws<std::invalid_argument>([&] { Product(8, 4, 4, twice, 2); }, "half a block");
}

}  // namespace rewirl
