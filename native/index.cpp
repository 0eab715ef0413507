#include "index.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "kernels/cpu.hpp"

namespace rewirl {

Blocking blocking(int64_t rows, int64_t columns, int64_t connections) {
  const int panel_rows = kernels().panel_rows;
  constexpr int64_t kSmallest = 64, kLargest = 65536;  // column indices within a block are 16 bits
  // Below this density the columns of a panel rarely have two connections, and small groups cost more than they share.
  const bool panels = panel_rows > 1 && rows >= panel_rows && connections * 100 >= 15 * rows * columns;
  // Fewer connections per row and block, and loading and storing the accumulators dominates.
  const int64_t enough = panels ? 16 : 8;
  int64_t block = kSmallest;
  while (block < columns && block < kLargest && connections * block < enough * rows * columns) block *= 2;
  return {panels ? panel_rows : 1, static_cast<int>(std::min(block, std::max<int64_t>(columns, 1)))};
}

namespace {

constexpr int64_t kFewStarts = int64_t{1} << 22;

}  // namespace

Positions positions(const int64_t* places, size_t count, int32_t n_in, int32_t n_out) {
  if (count > 0 && !places) throw std::invalid_argument("weights with indices need the places of their connections");
  if (count >= (uint64_t{1} << 31)) throw std::invalid_argument("a layer holds fewer than 2^31 connections");
  const int64_t total = static_cast<int64_t>(n_in) * n_out;
  Positions of{std::vector<int32_t>(count), std::vector<int32_t>(count)};
  for (size_t k = 0; k < count; ++k) {
    if (places[k] < 0 || places[k] >= total)
      throw std::invalid_argument("place " + std::to_string(places[k]) + " is outside a layer of " +
                                  std::to_string(total) + " places");
    of.row[k] = static_cast<int32_t>(places[k] / n_in);
    of.column[k] = static_cast<int32_t>(places[k] % n_in);
  }
  return of;
}

std::vector<uint32_t> sorted_by(const std::vector<int32_t>& key, int32_t keys, const std::vector<uint32_t>& order) {
  std::vector<uint32_t> cursor(static_cast<size_t>(keys) + 1, 0), sorted(order.size());
  for (int32_t k : key) ++cursor[static_cast<size_t>(k) + 1];
  for (size_t i = 0; i < static_cast<size_t>(keys); ++i) cursor[i + 1] += cursor[i];
  for (uint32_t position : order) sorted[cursor[static_cast<size_t>(key[position])]++] = position;
  return sorted;
}

std::vector<uint32_t> counted(size_t n) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  return order;
}

Index Index::build(int32_t rows, int32_t columns, const std::vector<int32_t>& row, const std::vector<int32_t>& column,
                   std::vector<uint32_t>& order, const Blocking* asked) {
  const size_t n = row.size();
  const Blocking chosen = asked ? *asked : blocking(rows, columns, static_cast<int64_t>(n));
  Index index;
  index.rows = rows;
  index.columns = columns;
  index.panel = chosen.panel;
  index.block = chosen.block;
  index.blocks = std::max(1, static_cast<int32_t>((int64_t{columns} + index.block - 1) / index.block));
  const int32_t panels = index.view().panels(), patterns = index.view().patterns();
  // Sizes from a file may be enormous with hardly a connection behind them: there is no index of so much emptiness.
  const int64_t starts = static_cast<int64_t>(index.blocks) * panels * patterns;
  if (starts > std::max(kFewStarts, 4 * static_cast<int64_t>(n)) || starts >= int64_t{1} << 31)
    throw std::invalid_argument("a sparse layer of " + std::to_string(rows) + " outputs and " +
                                std::to_string(columns) +
                                " inputs, or the other way round, has too few connections for its size");
  const int32_t cells = index.blocks * panels;
  std::vector<int32_t> cell(n);  // its (block, panel)
  for (size_t k = 0; k < n; ++k) cell[k] = column[k] / index.block * panels + row[k] / index.panel;
  order = sorted_by(cell, cells, sorted_by(column, columns, sorted_by(row, rows, counted(n))));
  std::vector<int32_t> group(n);  // its (block, panel, pattern)
  for (size_t begin = 0; begin < n;) {
    const uint32_t first = order[begin];
    size_t end = begin;
    int32_t pattern = 0;
    for (; end < n && cell[order[end]] == cell[first] && column[order[end]] == column[first]; ++end) {
      const int32_t bit = 1 << row[order[end]] % index.panel;
      if (pattern & bit)
        throw std::invalid_argument(
            "place " + std::to_string(static_cast<int64_t>(row[order[end]]) * columns + column[order[end]]) +
            " is given twice");
      pattern |= bit;
    }
    for (; begin < end; ++begin) group[order[begin]] = cell[first] * patterns + pattern - 1;
  }
  order = sorted_by(group, cells * patterns, order);
  index.start = Buffer<uint32_t>(static_cast<size_t>(cells) * patterns + 1);
  for (int32_t g : group) ++index.start[static_cast<size_t>(g) + 1];
  for (size_t s = 1; s < index.start.size(); ++s) index.start[s] += index.start[s - 1];
  index.column = Buffer<uint16_t>(n);
  for (size_t k = 0; k < n; ++k) index.column[k] = static_cast<uint16_t>(column[order[k]] % index.block);
  return index;
}

}  // namespace rewirl
