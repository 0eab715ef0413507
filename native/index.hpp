// Indices of sparse matrices: how connections are laid out for the kernels.
#pragma once
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "kernels/kernels.hpp"

namespace rewirl {

// How a layer's connections are stored: rows per panel and columns per block (see SparseMatrix). A fixed function of
// the layer's shape, its connections and the instruction set, never of a timing; docs/benchmarks.md has the
// measurements behind it.
struct Blocking {
  int panel, block;
};
Blocking blocking(int64_t rows, int64_t columns, int64_t connections);

// The rows and columns of places, row * n_in + column; throws std::invalid_argument where one is outside [n_out][n_in],
// or where there are more than an index holds.
struct Positions {
  std::vector<int32_t> row, column;
};
Positions positions(const int64_t* places, size_t count, int32_t n_in, int32_t n_out);

// Positions sorted by key[position] in [0, keys); equal ones stay in the order of `order`.
std::vector<uint32_t> sorted_by(const std::vector<int32_t>& key, int32_t keys, const std::vector<uint32_t>& order);

// 0, 1, ..., n - 1.
std::vector<uint32_t> counted(size_t n);

// The owner of what a SparseMatrix points to.
struct Index {
  int32_t rows = 0, columns = 0, block = 0, blocks = 0, panel = 1;
  Buffer<uint32_t> start;
  Buffer<uint16_t> column;
  Buffer<uint32_t> source;

  // The index of these positions, and in `order` the place of each sorted position in the given arrays; laid out as
  // `chosen`, or else as blocking() says.
  static Index build(int32_t rows, int32_t columns, const std::vector<int32_t>& row, const std::vector<int32_t>& column,
                     std::vector<uint32_t>& order, const Blocking* chosen = nullptr);
  SparseMatrix view() const {
    return {rows, columns, block, blocks, panel, start.data(), column.data(), source.data()};
  }
  SparseMatrix in_order() const {  // for values that are in this order
    SparseMatrix m = view();
    m.source = nullptr;
    return m;
  }
  // Calls visit(k, row, column) for every position in order, k being where its value is.
  template <class Visit>
  void each(const Visit& visit) const;
};

template <class Visit>
void Index::each(const Visit& visit) const {
  const SparseMatrix m = view();
  const uint32_t* begin = m.start;
  for (int32_t b = 0; b < blocks; ++b)
    for (int32_t p = 0; p < m.panels(); ++p)
      for (int32_t pattern = 1; pattern <= m.patterns(); ++pattern, ++begin) {
        int32_t rows_of[kPanelRows], count = 0;
        for (int32_t r = 0; r < panel; ++r)
          if (pattern >> r & 1) rows_of[count++] = p * panel + r;
        for (uint32_t k = begin[0]; k < begin[1];)
          for (int32_t i = 0; i < count; ++i, ++k)
            visit(source.size() ? source[k] : k, rows_of[i], b * block + column[k]);
      }
}

}  // namespace rewirl
