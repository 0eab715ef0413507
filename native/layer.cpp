#include "layer.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "cpu.hpp"

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

// The positions in `order`, sorted by key[position] in [0, keys); equal ones stay in their order.
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

}  // namespace

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
          for (int32_t i = 0; i < count; ++i, ++k) visit(source.size() ? source[k] : k, rows_of[i], b * block + column[k]);
      }
}

Index Index::build(int32_t rows, int32_t columns, const std::vector<int32_t>& row, const std::vector<int32_t>& column,
                   std::vector<uint32_t>& order) {
  const size_t n = row.size();
  const Blocking chosen = blocking(rows, columns, static_cast<int64_t>(n));
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
    throw std::invalid_argument("a sparse layer of " + std::to_string(rows) + " outputs and " + std::to_string(columns) +
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
        throw std::invalid_argument("place " + std::to_string(static_cast<int64_t>(row[order[end]]) * columns + column[order[end]]) +
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

Layer::Layer(int32_t n_in, int32_t n_out, const int64_t* places, size_t connections, const float* initial, bool trainable)
    : n_in_(n_in), n_out_(n_out), dense_(places == nullptr), trainable_(trainable) {
  values = Buffer<float>(connections);
  if (dense_) {
    if (connections != static_cast<size_t>(n_in) * n_out) throw std::invalid_argument("a dense layer needs all values");
    std::copy(initial, initial + connections, values.begin());
  } else {
    std::vector<uint32_t> order;
    build(places, connections, order);
    const bool sorted = std::is_sorted(order.begin(), order.end());
    if (!trainable && !sorted) {
      index_.source = Buffer<uint32_t>(connections);
      std::copy(order.begin(), order.end(), index_.source.begin());
    }
    for (size_t k = 0; k < connections; ++k) values[k] = initial[trainable ? order[k] : k];
  }
  bias = Buffer<float>(n_out);
  if (!trainable_) return;
  gradient = Buffer<float>(connections);
  m = Buffer<float>(connections);
  v = Buffer<float>(connections);
  bias_gradient = Buffer<float>(n_out);
  bias_m = Buffer<float>(n_out);
  bias_v = Buffer<float>(n_out);
}

// Builds both indices; order[k] is the position in `places` of the k-th connection.
void Layer::build(const int64_t* places, size_t n, std::vector<uint32_t>& order) {
  if (n >= (uint64_t{1} << 31)) throw std::invalid_argument("a layer holds fewer than 2^31 connections");
  const int64_t total = static_cast<int64_t>(n_in_) * n_out_;
  std::vector<int32_t> row(n), column(n);
  for (size_t k = 0; k < n; ++k) {
    if (places[k] < 0 || places[k] >= total)
      throw std::invalid_argument("place " + std::to_string(places[k]) + " is outside a layer of " +
                                  std::to_string(total) + " places");
    row[k] = static_cast<int32_t>(places[k] / n_in_);
    column[k] = static_cast<int32_t>(places[k] % n_in_);
  }
  index_ = Index::build(n_out_, n_in_, row, column, order);
  acting_ = Buffer<float>();
  acting_place_ = Buffer<uint32_t>();
  ordered_ = Buffer<float>();
  if (!trainable_) return;
  std::vector<uint32_t> position(n), transposed_order;
  for (size_t k = 0; k < n; ++k) position[order[k]] = static_cast<uint32_t>(k);
  transposed_ = Index::build(n_in_, n_out_, column, row, transposed_order);
  transposed_.source = Buffer<uint32_t>(n);
  for (size_t k = 0; k < n; ++k) transposed_.source[k] = position[transposed_order[k]];
}

std::vector<int64_t> Layer::places() const {
  std::vector<int64_t> result(connections());
  if (dense_) std::iota(result.begin(), result.end(), int64_t{0});
  else index_.each([&](uint32_t k, int32_t r, int32_t c) { result[k] = static_cast<int64_t>(r) * n_in_ + c; });
  return result;
}

std::vector<uint32_t> Layer::row_major() const {
  if (dense_) return counted(connections());
  std::vector<int32_t> row(connections()), column(connections());
  index_.each([&](uint32_t k, int32_t r, int32_t c) { row[k] = r, column[k] = c; });
  return sorted_by(row, n_out_, sorted_by(column, n_in_, counted(connections())));
}

void Layer::forward(const float* x, float* y, int vectors, bool relu, Part part) const {
  const Epilogue epilogue = relu ? Epilogue::relu : Epilogue::none;
  const int begin = static_cast<int>(part.begin(n_out_)), end = static_cast<int>(part.end(n_out_));
  float* out = y + static_cast<size_t>(begin) * kLane * vectors;
  if (dense_)
    kernels().gemm(end - begin, n_in_, values.data() + static_cast<size_t>(begin) * n_in_, n_in_, 1, x, out, vectors,
                   bias.data() + begin, epilogue, nullptr);
  else
    kernels().spmm(index_.in_order(), in_order(), x, out, vectors, begin, end, bias.data(), epilogue, nullptr);
}

void Layer::input_gradient(const float* dy, float* dx, int vectors, int32_t from, const float* gates, Part part) const {
  const Epilogue epilogue = gates ? Epilogue::gate : Epilogue::none;
  const size_t width = static_cast<size_t>(kLane) * vectors;
  const int begin = from + static_cast<int>(part.begin(n_in_ - from)), end = from + static_cast<int>(part.end(n_in_ - from));
  float* out = dx + static_cast<size_t>(begin - from) * width;
  if (dense_)
    kernels().gemm(end - begin, n_out_, values.data() + begin, 1, n_in_, dy, out, vectors, nullptr, epilogue,
                   gates ? gates + static_cast<size_t>(begin) * width : nullptr);
  else
    kernels().spmm(transposed_.view(), values.data(), dy, out, vectors, begin, end, nullptr, epilogue, gates);
}

void Layer::connection_gradient(const float* dy, const float* x, int vectors, bool accumulate, float* scratch,
                                Part part) const {
  const int begin = static_cast<int>(part.begin(n_out_, panel())), end = static_cast<int>(part.end(n_out_, panel()));
  if (dense_) {
    const int first = static_cast<int>(part.begin(n_in_, kPanel)), last = static_cast<int>(part.end(n_in_, kPanel));
    kernels().dense_gradient(n_out_, n_in_, dy, x, gradient.data(), vectors, first, last, accumulate, scratch);
  } else {
    kernels().sddmm(index_.view(), dy, x, gradient.data(), vectors, begin, end, accumulate);
  }
  kernels().row_sums(end - begin, dy + static_cast<size_t>(begin) * kLane * vectors, bias_gradient.data() + begin, vectors,
                     accumulate);
}

void Layer::arrange() {
  if (index_.source.size() == 0 || arranged_) return;
  if (ordered_.size() == 0) ordered_ = Buffer<float>(connections());
  for (size_t k = 0; k < connections(); ++k) ordered_[k] = values[index_.source[k]];
  arranged_ = true;
}

void Layer::act(const float* x, float* y, bool relu) {
  if (!dense_ && !acts_densely()) {
    arrange();
    return kernels().spmv(index_.in_order(), in_order(), x, y, bias.data(), relu);
  }
  if (!dense_ && !acting_current_) {
    const auto place = [&](int32_t r, int32_t c) { return static_cast<size_t>(r) * static_cast<size_t>(n_in_) + static_cast<size_t>(c); };
    if (acting_.size() == 0) acting_ = Buffer<float>(static_cast<size_t>(n_in_) * static_cast<size_t>(n_out_));
    if (acting_.size() > ~uint32_t{0}) {
      index_.each([&](uint32_t k, int32_t r, int32_t c) { acting_[place(r, c)] = values[k]; });
    } else {
      if (acting_place_.size() == 0) {
        acting_place_ = Buffer<uint32_t>(connections());
        index_.each([&](uint32_t k, int32_t r, int32_t c) { acting_place_[k] = static_cast<uint32_t>(place(r, c)); });
      }
      for (size_t k = 0; k < connections(); ++k) acting_[acting_place_[k]] = values[k];
    }
    acting_current_ = true;
  }
  kernels().gemv(n_out_, n_in_, dense_ ? values.data() : acting_.data(), x, y, bias.data(), relu);
}

// Whether a single sample is computed with a dense copy: for panels there is no other way, and reading zeros is faster than
// gathering, up to 16 places for a connection in the second-level cache and 8 beyond.
bool Layer::acts_densely() const {
  if (dense_) return false;
  const size_t total = static_cast<size_t>(n_in_) * static_cast<size_t>(n_out_);
  return index_.panel > 1 || total <= (total <= size_t{1} << 18 ? 16 : 8) * connections();
}

void Layer::rewire(const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown,
                   uint32_t step) {
  if (dense_ && n_grown > 0) throw std::invalid_argument("a dense layer has no empty place to grow a connection in");
  if (dense_ && n_dropped == 0) return;
  if (!trainable_) throw std::invalid_argument("a layer of a target network follows its online layer; it is not rewired");
  const size_t n = connections();
  std::vector<char> keep(n, 1);
  for (size_t i = 0; i < n_dropped; ++i) {
    if (dropped[i] < 0 || static_cast<size_t>(dropped[i]) >= n || !keep[static_cast<size_t>(dropped[i])])
      throw std::invalid_argument("dropped connection " + std::to_string(dropped[i]) + " is out of range or named twice");
    keep[static_cast<size_t>(dropped[i])] = 0;
  }
  const std::vector<int64_t> old_places = places();
  std::vector<int64_t> new_places;
  std::vector<size_t> source;  // position of a survivor in the old arrays; n for a grown connection
  new_places.reserve(n - n_dropped + n_grown);
  source.reserve(n - n_dropped + n_grown);
  for (size_t k = 0; k < n; ++k)
    if (keep[k]) {
      new_places.push_back(old_places[k]);
      source.push_back(k);
    }
  for (size_t i = 0; i < n_grown; ++i) {
    new_places.push_back(grown[i]);
    source.push_back(n);
  }
  std::vector<uint32_t> order;
  const Index old_index = index_;
  try {
    build(new_places.data(), new_places.size(), order);
  } catch (...) {
    index_ = old_index;  // nothing else has changed yet but the memory for acting: build() checks before it assigns the rest
    changed();
    throw;
  }
  dense_ = false;
  auto move = [&](auto& array, auto initial) {
    std::decay_t<decltype(array)> moved(order.size());
    for (size_t k = 0; k < order.size(); ++k) moved[k] = source[order[k]] == n ? initial : array[source[order[k]]];
    array = moved;
  };
  move(values, 0.0f);
  if (trainable_) {
    move(m, 0.0f);
    move(v, 0.0f);
    if (born.size() > 0) move(born, step);
    gradient = Buffer<float>(order.size());
  }
  changed();
  ++version;
}

}  // namespace rewirl
