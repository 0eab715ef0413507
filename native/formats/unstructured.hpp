// Connections anywhere: an index of the matrix, and one of its transpose that says where each value is.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "formats/formats.hpp"
#include "index.hpp"
#include "kernels/cpu.hpp"

namespace rewirl {

class Unstructured : public Weights {
 public:
  // blocking: how the index is laid out; null is as it suits the layer.
  explicit Unstructured(const WeightsSpec& spec, const Blocking* blocking = nullptr) : Weights(spec) {
    if (height() > 1) throw std::invalid_argument("unstructured connections are in no blocks");
    const size_t n = spec.connections;
    const auto [row, column] = positions(spec.places, n, n_in(), n_out());
    std::vector<uint32_t> order;  // the position in the spec of the k-th connection of the index
    index_ = Index::build(n_out(), n_in(), row, column, order, blocking);
    if (trainable()) {
      std::vector<uint32_t> position(n), transposed_order;
      for (size_t k = 0; k < n; ++k) position[order[k]] = static_cast<uint32_t>(k);
      transposed_ = Index::build(n_in(), n_out(), column, row, transposed_order);
      transposed_.source = Buffer<uint32_t>(n);
      for (size_t k = 0; k < n; ++k) transposed_.source[k] = position[transposed_order[k]];
    } else if (!std::is_sorted(order.begin(), order.end())) {
      index_.source = Buffer<uint32_t>(n);
      std::copy(order.begin(), order.end(), index_.source.begin());
      ordered_ = Buffer<float>(n);
    }
    for (size_t k = 0; k < n; ++k) values[k] = spec.values[trainable() ? order[k] : k];
    changed();
    if (spec.order) *spec.order = trainable() ? std::move(order) : counted(n);
  }

  const char* format() const override { return "unstructured"; }

  std::vector<int64_t> places() const override {
    std::vector<int64_t> result(connections());
    index_.each([&](uint32_t k, int32_t r, int32_t c) { result[k] = static_cast<int64_t>(r) * n_in() + c; });
    return result;
  }

  std::vector<uint32_t> row_major() const override {
    std::vector<int32_t> row(connections()), column(connections());
    index_.each([&](uint32_t k, int32_t r, int32_t c) { row[k] = r, column[k] = c; });
    return sorted_by(row, n_out(), sorted_by(column, n_in(), counted(connections())));
  }

  int64_t panel() const override { return index_.panel; }

  void forward(const float* x, float* y, int vectors, const float* bias, Epilogue epilogue, Part part) const override {
    const int begin = static_cast<int>(part.begin(n_out())), end = static_cast<int>(part.end(n_out()));
    kernels().spmm(index_.in_order(), in_order(), x, y + static_cast<ptrdiff_t>(begin) * kLane * vectors, vectors,
                   begin, end, bias, epilogue, nullptr);
  }

  void input_gradient(const float* dy, float* dx, int vectors, int32_t from, const float* gates,
                      Part part) const override {
    const int begin = from + static_cast<int>(part.begin(n_in() - from));
    const int end = from + static_cast<int>(part.end(n_in() - from));
    kernels().spmm(transposed_.view(), values.data(), dy, dx + static_cast<ptrdiff_t>(begin - from) * kLane * vectors,
                   vectors, begin, end, nullptr, gates ? Epilogue::gate : Epilogue::none, gates);
  }

  void weight_gradient(const float* dy, const float* x, float* gradient, int vectors, bool accumulate, float*,
                       Part part) const override {
    kernels().sddmm(index_.view(), dy, x, gradient, vectors, static_cast<int>(part.begin(n_out(), panel())),
                    static_cast<int>(part.end(n_out(), panel())), accumulate);
  }

  void stretches(Part part, const Visit& visit) const override {
    const SparseMatrix a = index_.view();
    const size_t panels = static_cast<size_t>(a.panels()), patterns = static_cast<size_t>(a.patterns());
    const size_t rows = static_cast<size_t>(a.panel);
    const size_t begin = static_cast<size_t>(part.begin(n_out(), a.panel)) / rows;
    const size_t end = (static_cast<size_t>(part.end(n_out(), a.panel)) + rows - 1) / rows;
    for (size_t b = 0; b < static_cast<size_t>(a.blocks); ++b)
      visit(a.start[(b * panels + begin) * patterns], a.start[(b * panels + end) * patterns]);
  }

  void act(const float* x, float* y, const float* bias, bool relu) const override {
    if (acts_densely())
      kernels().gemv(n_out(), n_in(), dense_copy(), x, y, bias, relu);
    else
      kernels().spmv(index_.in_order(), in_order(), x, y, bias, relu);
  }

  void unit_rows() override {
    std::vector<float> factor(static_cast<size_t>(n_out()), 0.0f);
    index_.each([&](uint32_t k, int32_t r, int32_t) { factor[static_cast<size_t>(r)] += values[k] * values[k]; });
    for (float& f : factor) f = f > 0.0f ? 1.0f / std::sqrt(f) : 1.0f;
    index_.each([&](uint32_t k, int32_t r, int32_t) { values[k] *= factor[static_cast<size_t>(r)]; });
  }

  // The values of a target, which keeps another order, are put into that of its index here. It costs less than finding
  // each value anew for every tile of every batch.
  void changed() override {
    for (size_t k = 0; k < ordered_.size(); ++k) ordered_[k] = values[index_.source[k]];
    copied_.store(false, std::memory_order_relaxed);
  }

 protected:
  const Index& index() const { return index_; }
  const float* in_order() const { return ordered_.size() > 0 ? ordered_.data() : values.data(); }

 private:
  // Whether a single sample is computed with a dense copy: for panels there is no other way, and reading zeros is
  // faster than gathering, up to 16 places for a connection in the second-level cache and 8 beyond.
  bool acts_densely() const {
    const size_t total = static_cast<size_t>(n_in()) * static_cast<size_t>(n_out());
    return index_.panel > 1 || total <= (total <= size_t{1} << 18 ? 16 : 8) * connections();
  }

  // Renewed when it is asked for after the values have changed: most networks that learn never act. Threads that act at
  // once wait for the first of them.
  const float* dense_copy() const {
    if (copied_.load(std::memory_order_acquire)) return copy_.data();
    const std::lock_guard<std::mutex> lock(copying_);
    if (copied_.load(std::memory_order_relaxed)) return copy_.data();
    const auto place = [&](int32_t r, int32_t c) {
      return static_cast<size_t>(r) * static_cast<size_t>(n_in()) + static_cast<size_t>(c);
    };
    if (copy_.size() == 0) copy_ = Buffer<float>(static_cast<size_t>(n_in()) * static_cast<size_t>(n_out()));
    if (copy_.size() > ~uint32_t{0}) {
      index_.each([&](uint32_t k, int32_t r, int32_t c) { copy_[place(r, c)] = values[k]; });
    } else {
      if (copy_place_.size() == 0) {
        copy_place_ = Buffer<uint32_t>(connections());
        index_.each([&](uint32_t k, int32_t r, int32_t c) { copy_place_[k] = static_cast<uint32_t>(place(r, c)); });
      }
      for (size_t k = 0; k < connections(); ++k) copy_[copy_place_[k]] = values[k];
    }
    copied_.store(true, std::memory_order_release);
    return copy_.data();
  }

  Index index_, transposed_;  // the transposed one has its values in the places of index_
  Buffer<float> ordered_;     // the values in the order of the index, if `values` are in another
  mutable std::mutex copying_;
  mutable std::atomic<bool> copied_{false};
  mutable Buffer<float> copy_;           // dense, for act()
  mutable Buffer<uint32_t> copy_place_;  // of every value in it
};

}  // namespace rewirl
