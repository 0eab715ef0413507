#include "layer.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "kernels/cpu.hpp"

namespace rewirl {

Layer::Layer(int32_t n_in, int32_t n_out, const int64_t* places, size_t connections, const float* initial,
             bool trainable)
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
  if (dense_)
    std::iota(result.begin(), result.end(), int64_t{0});
  else
    index_.each([&](uint32_t k, int32_t r, int32_t c) { result[k] = static_cast<int64_t>(r) * n_in_ + c; });
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
  const int begin = from + static_cast<int>(part.begin(n_in_ - from)),
            end = from + static_cast<int>(part.end(n_in_ - from));
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
  kernels().row_sums(end - begin, dy + static_cast<size_t>(begin) * kLane * vectors, bias_gradient.data() + begin,
                     vectors, accumulate);
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
    const auto place = [&](int32_t r, int32_t c) {
      return static_cast<size_t>(r) * static_cast<size_t>(n_in_) + static_cast<size_t>(c);
    };
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

// Whether a single sample is computed with a dense copy: for panels there is no other way, and reading zeros is faster
// than gathering, up to 16 places for a connection in the second-level cache and 8 beyond.
bool Layer::acts_densely() const {
  if (dense_) return false;
  const size_t total = static_cast<size_t>(n_in_) * static_cast<size_t>(n_out_);
  return index_.panel > 1 || total <= (total <= size_t{1} << 18 ? 16 : 8) * connections();
}

void Layer::rewire(const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown, uint32_t step) {
  if (dense_ && n_grown > 0) throw std::invalid_argument("a dense layer has no empty place to grow a connection in");
  if (dense_ && n_dropped == 0) return;
  if (!trainable_)
    throw std::invalid_argument("a layer of a target network follows its online layer; it is not rewired");
  const size_t n = connections();
  std::vector<char> keep(n, 1);
  for (size_t i = 0; i < n_dropped; ++i) {
    if (dropped[i] < 0 || static_cast<size_t>(dropped[i]) >= n || !keep[static_cast<size_t>(dropped[i])])
      throw std::invalid_argument("dropped connection " + std::to_string(dropped[i]) +
                                  " is out of range or named twice");
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
    index_ =
        old_index;  // nothing else has changed yet but the memory for acting: build() checks before it assigns the rest
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
