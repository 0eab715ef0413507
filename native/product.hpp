// A sparse matrix times batches that lie row by row [samples][features], as other libraries have them: packed into
// tiles, computed and unpacked. It holds no values: they are the caller's in every call, and so are gradients.
#pragma once
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <vector>

#include "weights.hpp"

namespace rewirl {

// Samples one after the other, so many numbers apart; or none, if null.
template <class T>
struct RowsOf {
  T* data = nullptr;
  ptrdiff_t stride = 0;
  explicit operator bool() const { return data != nullptr; }
};
using ConstRows = RowsOf<const float>;
using MutableRows = RowsOf<float>;

// What a backward pass is to compute: null for what it is not.
struct ProductGradients {
  MutableRows x;            // [samples][n_in]
  float* values = nullptr;  // in the order of the places
  float* bias = nullptr;    // [n_out]
};

// Threads of whoever calls: a function with the interface of GCC's GOMP_parallel, which runs the work on so many of
// them and returns when all are done. Two libraries whose idle threads spin would keep each other from the cores. Null:
// none.
struct Team {
  using Parallel = void (*)(void (*work)(void*), void* data, unsigned threads, unsigned flags);
  Parallel parallel = nullptr;
  int threads = 1;
};

class Product {
 public:
  // Throws std::invalid_argument where places are impossible, or not in whole blocks of so many outputs.
  Product(int32_t n_out, int32_t n_in, int32_t height, const int64_t* places, size_t connections);

  int32_t n_in() const { return weights_->n_in(); }
  int32_t n_out() const { return weights_->n_out(); }
  size_t connections() const { return order_.size(); }
  // Where each connection, in the order that computes without sorting values, is in the places given.
  const std::vector<uint32_t>& order() const { return order_; }

  // y = bias + W x; bias may be null. Tiles are `width` samples wide.
  void forward(const Team& team, const float* values, const float* bias, ConstRows x, MutableRows y, size_t samples,
               int width) const;

  // x may be null where no gradient of the values is asked for.
  void backward(const Team& team, const float* values, ConstRows x, ConstRows dy, const ProductGradients& out,
                size_t samples, int width) const;

 private:
  class Lent;
  std::unique_ptr<Weights> weights_;
  std::vector<uint32_t> order_;
  bool sorted_;                      // the places given are in the order that computes
  mutable std::shared_mutex mutex_;  // alone for whoever puts values into weights_
};

// out[j][i] = in[i][j] for i < rows, j < columns; rows of each lie a stride apart.
void transpose(const float* in, ptrdiff_t in_stride, float* out, ptrdiff_t out_stride, size_t rows, size_t columns);

}  // namespace rewirl
