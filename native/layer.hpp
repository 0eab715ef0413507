// One layer: its topology, its values, and what training keeps beside them. Memory grows with the connections.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"

namespace rewirl {

// How a layer's connections are stored: rows per panel and columns per block (see SparseMatrix). A fixed function of the layer's
// shape, its connections and the instruction set, never of a timing; docs/benchmarks.md has the measurements behind it.
struct Blocking {
  int panel, block;
};
Blocking blocking(int64_t rows, int64_t columns, int64_t connections);

// A share of the work in a layer, for one of several threads. The parts of an operation write to different places, and every
// number is computed as without parts, so results do not depend on how many there are.
struct Part {
  int index = 0, count = 1;
  // The share of [0, n), cut at multiples of `unit`.
  int64_t begin(int64_t n, int64_t unit = 1) const { return std::min(n, (n + unit - 1) / unit * index / count * unit); }
  int64_t end(int64_t n, int64_t unit = 1) const { return Part{index + 1, count}.begin(n, unit); }
};

// The owner of what a SparseMatrix points to.
struct Index {
  int32_t rows = 0, columns = 0, block = 0, blocks = 0, panel = 1;
  Buffer<uint32_t> start;
  Buffer<uint16_t> column;
  Buffer<uint32_t> source;

  // The index of these positions, and in `order` the place of each sorted position in the given arrays.
  static Index build(int32_t rows, int32_t columns, const std::vector<int32_t>& row, const std::vector<int32_t>& column,
                     std::vector<uint32_t>& order);
  SparseMatrix view() const { return {rows, columns, block, blocks, panel, start.data(), column.data(), source.data()}; }
  SparseMatrix in_order() const {  // for values that are in this order
    SparseMatrix m = view();
    m.source = nullptr;
    return m;
  }
  // Calls visit(k, row, column) for every position in order, k being where its value is.
  template <class Visit>
  void each(const Visit& visit) const;
};

class Layer {
 public:
  // places: row * n_in + column, distinct, any order; values in the same order. Dense layers have places == nullptr and
  // their values row by row. A trainable layer sorts them. One that is not has no gradient, moments or transpose, and keeps
  // the order: a target is updated from values in the order of another topology.
  Layer(int32_t n_in, int32_t n_out, const int64_t* places, size_t connections, const float* values, bool trainable);

  int32_t n_in() const { return n_in_; }
  int32_t n_out() const { return n_out_; }
  bool dense() const { return dense_; }
  bool trainable() const { return trainable_; }
  int64_t panel() const { return dense_ ? 1 : index_.panel; }  // outputs that a part never divides
  size_t connections() const { return values.size(); }
  std::vector<int64_t> places() const;         // in the order of values
  std::vector<uint32_t> row_major() const;     // positions in values of the places sorted by row and column

  // To be called before forward(), by one thread: puts the values of a layer that keeps another order into that of its index. It
  // costs less than finding each value anew for every tile of every batch.
  void arrange();
  void forward(const float* x, float* y, int vectors, bool relu, Part part = {}) const;
  // dx rows [from, n_in); gates (or null) are the outputs of the ReLU that made x.
  void input_gradient(const float* dy, float* dx, int vectors, int32_t from, const float* gates, Part part = {}) const;
  void connection_gradient(const float* dy, const float* x, int vectors, bool accumulate, float* scratch, Part part = {}) const;
  // Calls visit(begin, end) for the stretches of `values` whose gradients connection_gradient() computes in this part.
  template <class Visit>
  void stretches(Part part, const Visit& visit) const {
    if (dense_ && part.count == 1) return visit(size_t{0}, values.size());
    if (dense_) {  // parts are columns
      for (int32_t r = 0; r < n_out_; ++r) {
        const size_t row = static_cast<size_t>(r) * static_cast<size_t>(n_in_);
        visit(row + static_cast<size_t>(part.begin(n_in_, kPanel)), row + static_cast<size_t>(part.end(n_in_, kPanel)));
      }
      return;
    }
    const SparseMatrix a = index_.view();
    const size_t panels = static_cast<size_t>(a.panels()), patterns = static_cast<size_t>(a.patterns());
    const size_t begin = static_cast<size_t>(part.begin(n_out_, a.panel)) / static_cast<size_t>(a.panel);
    const size_t end = (static_cast<size_t>(part.end(n_out_, a.panel)) + static_cast<size_t>(a.panel) - 1) / static_cast<size_t>(a.panel);
    for (size_t b = 0; b < static_cast<size_t>(a.blocks); ++b)
      visit(a.start[(b * panels + begin) * patterns], a.start[(b * panels + end) * patterns]);
  }
  void act(const float* x, float* y, bool relu);  // a single sample
  void changed() { acting_current_ = arranged_ = false; }  // to be called when `values` have been written to

  // Removes the connections at these positions of `values` and adds `grown` places with zero value and zero moments.
  // With ages they are born at this step of the optimiser. A dense layer that loses a connection is a sparse one from then on.
  void rewire(const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown, uint32_t step);

  uint64_t version = 0;  // counts the rewirings
  Buffer<float> values, gradient, m, v;
  Buffer<uint32_t> born;  // the step of the optimiser after which a connection was grown; empty when ages do not count
  Buffer<float> bias, bias_gradient, bias_m, bias_v;

 private:
  bool acts_densely() const;
  const float* in_order() const { return index_.source.size() > 0 ? ordered_.data() : values.data(); }
  void build(const int64_t* places, size_t n, std::vector<uint32_t>& order);

  int32_t n_in_, n_out_;
  bool dense_, trainable_;
  Index index_, transposed_;  // the transposed one has its values in the places of index_
  Buffer<float> acting_;           // a dense copy for act(), made when it is needed (see acts_densely)
  Buffer<uint32_t> acting_place_;  // of every value in it
  Buffer<float> ordered_;          // the values in the order of the index, if `values` are in another
  bool acting_current_ = false, arranged_ = false;
};

}  // namespace rewirl
