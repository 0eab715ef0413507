// Sparse products of batches that lie row by row.
#include "product.hpp"

#include <dlfcn.h>

#include <atomic>

#include "bindings/arguments.hpp"

namespace rewirl {
namespace {

template <class T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;

template <class T>
RowsOf<T> rows_of(const Matrix<T>& rows, size_t samples, int32_t features, const char* what) {
  const bool apart = samples <= 1 || std::is_const_v<T> || rows.stride(0) >= features;
  const bool readable = samples == 0 || ((features == 1 || rows.stride(1) == 1) && rows.stride(0) >= 0 && apart);
  REQUIRE(rows.shape(0) == samples && rows.shape(1) == static_cast<size_t>(features) && readable,
          std::string(what) + " must have " + std::to_string(samples) + " rows, each of " + std::to_string(features) +
              " numbers side by side, got [" + std::to_string(rows.shape(0)) + ", " + std::to_string(rows.shape(1)) +
              "]");
  require_aligned(rows);
  return {rows.data(), static_cast<ptrdiff_t>(rows.stride(0))};
}

template <class Array>
auto* vector_of(const Array& vector, size_t length, const char* what) {
  REQUIRE(vector.shape(0) == length, std::string(what) + " must have the length " + std::to_string(length) + ", got " +
                                         std::to_string(vector.shape(0)));
  require_aligned(vector);
  return vector.data();
}

// Threads of the OpenMP that this process has loaded for all, as PyTorch does with GCC's; without it the caller
// computes alone.
Team team_of(int threads) {
  REQUIRE(threads >= 1, "threads must be at least 1, got " + std::to_string(threads));
  static std::atomic<Team::Parallel> found{nullptr};
  Team::Parallel parallel = found.load(std::memory_order_relaxed);
  if (!parallel && threads > 1) {
    parallel = reinterpret_cast<Team::Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    found.store(parallel, std::memory_order_relaxed);
  }
  return {parallel, threads};
}

}  // namespace

void bind_product(nb::module_& m) {
  nb::class_<Product>(m, "Product", "A sparse matrix times batches row by row; values are the caller's.")
      .def(
          "__init__",
          [](Product* self, int32_t n_out, int32_t n_in, int32_t height, const Vector<int64_t>& places) {
            REQUIRE(n_out > 0 && n_in > 0 && n_out < 1 << 24 && n_in < 1 << 24,
                    "a layer has from 1 to 2^24 inputs and outputs");
            require_aligned(places);
            new (self) Product(n_out, n_in, height, places.data(), places.shape(0));
          },
          "n_out"_a, "n_in"_a, "height"_a, "places"_a)
      .def(
          "order", [](const Product& self) { return copy(self.order()); },
          "Where each connection, in the order that is fastest, is in the places given.")
      .def(
          "forward",
          [](const Product& self, int threads, const Vector<float>& values, const std::optional<Vector<float>>& bias,
             const Matrix<const float>& x, const Matrix<float>& y, int width) {
            require_width(width);
            const size_t samples = x.shape(0);
            const ConstRows in = rows_of(x, samples, self.n_in(), "the input");
            const MutableRows out = rows_of(y, samples, self.n_out(), "the output");
            const float* w = vector_of(values, self.connections(), "the values");
            const float* b = bias ? vector_of(*bias, static_cast<size_t>(self.n_out()), "the bias") : nullptr;
            const Team team = team_of(threads);
            const Released release;
            self.forward(team, w, b, in, out, samples, width);
          },
          "threads"_a, "values"_a, "bias"_a.none(), "x"_a, "y"_a.noconvert(), "width"_a,
          "Write y = bias + W x for rows x [samples, n_in] and y [samples, n_out].")
      .def(
          "backward",
          [](const Product& self, int threads, const Vector<float>& values, const std::optional<Matrix<const float>>& x,
             const Matrix<const float>& dy, const std::optional<Matrix<float>>& dx,
             const std::optional<WritableVector<float>>& d_values, const std::optional<WritableVector<float>>& d_bias,
             int width) {
            require_width(width);
            const size_t samples = dy.shape(0);
            REQUIRE(x || !d_values, "the gradient of the values needs the input");
            const ConstRows in = x ? rows_of(*x, samples, self.n_in(), "the input") : ConstRows{};
            const ConstRows gradient = rows_of(dy, samples, self.n_out(), "the output gradient");
            const float* w = vector_of(values, self.connections(), "the values");
            ProductGradients out;
            if (dx) out.x = rows_of(*dx, samples, self.n_in(), "the input gradient");
            if (d_values) out.values = vector_of(*d_values, self.connections(), "the gradient of the values");
            if (d_bias) out.bias = vector_of(*d_bias, static_cast<size_t>(self.n_out()), "the gradient of the bias");
            const Team team = team_of(threads);
            const Released release;
            self.backward(team, w, in, gradient, out, samples, width);
          },
          "threads"_a, "values"_a, "x"_a.none(), "dy"_a, "dx"_a.noconvert().none(), "d_values"_a.noconvert().none(),
          "d_bias"_a.noconvert().none(), "width"_a, "Write the gradients that have an array to be written to.");
}

}  // namespace rewirl
