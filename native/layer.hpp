// One layer: its topology, its values, and what training keeps beside them. Memory grows with the connections.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "index.hpp"
#include "tiles.hpp"

namespace rewirl {

class Layer {
 public:
  // places: row * n_in + column, distinct, any order; values in the same order. Dense layers have places == nullptr and
  // their values row by row. A trainable layer sorts them. One that is not has no gradient, moments or transpose, and
  // keeps the order: a target is updated from values in the order of another topology.
  Layer(int32_t n_in, int32_t n_out, const int64_t* places, size_t connections, const float* values, bool trainable);

  int32_t n_in() const { return n_in_; }
  int32_t n_out() const { return n_out_; }
  bool dense() const { return dense_; }
  bool trainable() const { return trainable_; }
  int64_t panel() const { return dense_ ? 1 : index_.panel; }  // outputs that a part never divides
  size_t connections() const { return values.size(); }
  std::vector<int64_t> places() const;      // in the order of values
  std::vector<uint32_t> row_major() const;  // positions in values of the places sorted by row and column

  // To be called before forward(), by one thread: puts the values of a layer that keeps another order into that of its
  // index. It costs less than finding each value anew for every tile of every batch.
  void arrange();
  void forward(const float* x, float* y, int vectors, bool relu, Part part = {}) const;
  // dx rows [from, n_in); gates (or null) are the outputs of the ReLU that made x.
  void input_gradient(const float* dy, float* dx, int vectors, int32_t from, const float* gates, Part part = {}) const;
  void connection_gradient(const float* dy, const float* x, int vectors, bool accumulate, float* scratch,
                           Part part = {}) const;
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
    const size_t end = (static_cast<size_t>(part.end(n_out_, a.panel)) + static_cast<size_t>(a.panel) - 1) /
                       static_cast<size_t>(a.panel);
    for (size_t b = 0; b < static_cast<size_t>(a.blocks); ++b)
      visit(a.start[(b * panels + begin) * patterns], a.start[(b * panels + end) * patterns]);
  }
  void act(const float* x, float* y, bool relu);           // a single sample
  void changed() { acting_current_ = arranged_ = false; }  // to be called when `values` have been written to

  // Removes the connections at these positions of `values` and adds `grown` places with zero value and zero moments.
  // With ages they are born at this step of the optimiser. A dense layer that loses a connection is a sparse one from
  // then on.
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
  Index index_, transposed_;       // the transposed one has its values in the places of index_
  Buffer<float> acting_;           // a dense copy for act(), made when it is needed (see acts_densely)
  Buffer<uint32_t> acting_place_;  // of every value in it
  Buffer<float> ordered_;          // the values in the order of the index, if `values` are in another
  bool acting_current_ = false, arranged_ = false;
};

}  // namespace rewirl
