#include "layer.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cpu.hpp"

namespace rewirl {

int block_size(int64_t rows, int64_t columns, int64_t connections) {
  constexpr int64_t kSmallest = 64, kLargest = 65536;  // column indices within a block are 16 bits
  int64_t block = kSmallest;
  // at least 8 connections per row and block, else loading and storing the accumulators dominates
  while (block < columns && block < kLargest && connections * block < 8 * rows * columns) block *= 2;
  return static_cast<int>(std::min(block, std::max<int64_t>(columns, 1)));
}

Index Index::build(int32_t rows, int32_t columns, const std::vector<int32_t>& row, const std::vector<int32_t>& column,
                   std::vector<uint32_t>& order) {
  const size_t n = row.size();
  Index index;
  index.rows = rows;
  index.columns = columns;
  index.block = block_size(rows, columns, static_cast<int64_t>(n));
  index.blocks = std::max(1, (columns + index.block - 1) / index.block);
  const size_t segments = static_cast<size_t>(index.blocks) * rows;
  index.start = Buffer<uint32_t>(segments + 1);
  index.column = Buffer<uint16_t>(n);
  // Two stable counting sorts: by column, then by (block, row).
  std::vector<uint32_t> count(static_cast<size_t>(columns) + 1, 0), by_column(n);
  for (size_t k = 0; k < n; ++k) ++count[static_cast<size_t>(column[k]) + 1];
  for (size_t c = 0; c < static_cast<size_t>(columns); ++c) count[c + 1] += count[c];
  for (size_t k = 0; k < n; ++k) by_column[count[static_cast<size_t>(column[k])]++] = static_cast<uint32_t>(k);
  auto segment = [&](uint32_t k) {
    return static_cast<size_t>(column[k] / index.block) * rows + static_cast<size_t>(row[k]);
  };
  for (size_t k = 0; k < n; ++k) ++index.start[segment(static_cast<uint32_t>(k)) + 1];
  for (size_t s = 0; s < segments; ++s) index.start[s + 1] += index.start[s];
  std::vector<uint32_t> cursor(index.start.begin(), index.start.end());
  order.resize(n);
  for (uint32_t k : by_column) {
    const uint32_t at = cursor[segment(k)]++;
    order[at] = k;
    index.column[at] = static_cast<uint16_t>(column[k] % index.block);
  }
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
    for (size_t k = 0; k < connections; ++k) values[k] = initial[order[k]];
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
  for (size_t s = 0; s + 1 < index_.start.size(); ++s)
    for (uint32_t k = index_.start[s] + 1; k < index_.start[s + 1]; ++k)
      if (index_.column[k] == index_.column[k - 1])
        throw std::invalid_argument("place " + std::to_string(places[order[k]]) + " is given twice");
  bits_ = Buffer<uint64_t>();
  if (index_.block == 64 && n * 4 >= static_cast<uint64_t>(total)) {  // at most half a byte per connection
    bits_ = Buffer<uint64_t>(index_.start.size() - 1);
    for (size_t s = 0; s < bits_.size(); ++s)
      for (uint32_t k = index_.start[s]; k < index_.start[s + 1]; ++k) bits_[s] |= uint64_t{1} << index_.column[k];
  }
  if (!trainable_) return;
  std::vector<uint32_t> position(n), transposed_order;
  for (size_t k = 0; k < n; ++k) position[order[k]] = static_cast<uint32_t>(k);
  transposed_ = Index::build(n_in_, n_out_, column, row, transposed_order);
  permutation_ = Buffer<uint32_t>(n);
  for (size_t k = 0; k < n; ++k) permutation_[k] = position[transposed_order[k]];
  mirrored_ = Buffer<float>(n);
}

std::vector<int64_t> Layer::places() const {
  std::vector<int64_t> result(connections());
  if (dense_) {
    for (size_t k = 0; k < result.size(); ++k) result[k] = static_cast<int64_t>(k);
    return result;
  }
  for (int32_t b = 0; b < index_.blocks; ++b)
    for (int32_t r = 0; r < n_out_; ++r) {
      const uint32_t* start = index_.start.data() + static_cast<size_t>(b) * n_out_ + r;
      for (uint32_t k = start[0]; k < start[1]; ++k)
        result[k] = static_cast<int64_t>(r) * n_in_ + static_cast<int64_t>(b) * index_.block + index_.column[k];
    }
  return result;
}

std::vector<uint32_t> Layer::row_major() const {
  std::vector<uint32_t> result;
  result.reserve(connections());
  if (dense_) {
    for (size_t k = 0; k < connections(); ++k) result.push_back(static_cast<uint32_t>(k));
    return result;
  }
  for (int32_t r = 0; r < n_out_; ++r)
    for (int32_t b = 0; b < index_.blocks; ++b) {
      const uint32_t* start = index_.start.data() + static_cast<size_t>(b) * n_out_ + r;
      for (uint32_t k = start[0]; k < start[1]; ++k) result.push_back(k);
    }
  return result;
}

void Layer::forward(const float* x, float* y, int vectors, bool relu, Part part) const {
  const Epilogue epilogue = relu ? Epilogue::relu : Epilogue::none;
  const int begin = static_cast<int>(part.begin(n_out_)), end = static_cast<int>(part.end(n_out_));
  float* out = y + static_cast<size_t>(begin) * kLane * vectors;
  if (dense_)
    kernels().gemm(end - begin, n_in_, values.data() + static_cast<size_t>(begin) * n_in_, n_in_, 1, x, out, vectors,
                   bias.data() + begin, epilogue, nullptr);
  else
    kernels().spmm(index_.view(), values.data(), x, out, vectors, begin, end, bias.data(), epilogue, nullptr);
}

void Layer::refresh_transpose(Part part) const {
  if (dense_) return;
  const size_t begin = static_cast<size_t>(part.begin(static_cast<int64_t>(connections()), kLane));
  const size_t end = static_cast<size_t>(part.end(static_cast<int64_t>(connections()), kLane));
  kernels().permute(end - begin, values.data(), permutation_.data() + begin, mirrored_.data() + begin);
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
    kernels().spmm(transposed_.view(), mirrored_.data(), dy, out, vectors, begin, end, nullptr, epilogue, gates);
}

void Layer::connection_gradient(const float* dy, const float* x, int vectors, bool accumulate, float* scratch,
                                Part part) const {
  const int begin = static_cast<int>(part.begin(n_out_)), end = static_cast<int>(part.end(n_out_));
  if (dense_) {
    const int first = static_cast<int>(part.begin(n_in_, kPanel)), last = static_cast<int>(part.end(n_in_, kPanel));
    kernels().dense_gradient(n_out_, n_in_, dy, x, gradient.data(), vectors, first, last, accumulate, scratch);
  } else {
    kernels().sddmm(index_.view(), dy, x, gradient.data(), vectors, begin, end, accumulate);
  }
  kernels().row_sums(end - begin, dy + static_cast<size_t>(begin) * kLane * vectors, bias_gradient.data() + begin, vectors,
                     accumulate);
}

void Layer::act(const float* x, float* y, bool relu) const {
  if (dense_)
    kernels().gemv(n_out_, n_in_, values.data(), x, y, bias.data(), relu);
  else if (bits_.size() > 0 && kernels().spmv_bits)
    kernels().spmv_bits(index_.view(), bits_.data(), values.data(), x, y, bias.data(), relu);
  else
    kernels().spmv(index_.view(), values.data(), x, y, bias.data(), relu);
}

void Layer::rewire(const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown,
                   uint32_t step) {
  if (dense_) {
    if (n_dropped || n_grown) throw std::invalid_argument("a dense layer cannot be rewired");
    return;
  }
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
    index_ = old_index;  // nothing else has changed yet: build() checks before it assigns the rest
    throw;
  }
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
  ++version;
}

}  // namespace rewirl
