// A weight format that exists for the tests alone: dense values stored column by column. All of it is in this file.
#include <algorithm>
#include <numeric>

#include "native_test.hpp"

namespace rewirl {
namespace {

class ByColumn final : public Weights {
 public:
  explicit ByColumn(const WeightsSpec& spec) : Weights(spec) {
    std::vector<uint32_t> order(spec.connections);
    for (uint32_t k = 0; k < order.size(); ++k) order[k] = static_cast<uint32_t>(place(k));
    for (size_t k = 0; k < order.size(); ++k) values[k] = spec.values[order[k]];
    if (spec.order) *spec.order = order;
  }
  const char* format() const override { return "by_column"; }
  bool dense() const override { return true; }
  std::vector<int64_t> places() const override {
    std::vector<int64_t> result(connections());
    for (size_t k = 0; k < result.size(); ++k) result[k] = static_cast<int64_t>(place(k));
    return result;
  }
  std::vector<uint32_t> row_major() const override {
    std::vector<uint32_t> result(connections());
    for (uint32_t k = 0; k < result.size(); ++k) result[place(k)] = k;
    return result;
  }
  void forward(const float* x, float* y, int vectors, const float* bias, Epilogue epilogue, Part part) const override {
    if (part.index == 0) multiply(x, y, static_cast<size_t>(kLane * vectors), bias, epilogue == Epilogue::relu);
  }
  void input_gradient(const float* dy, float* dx, int vectors, int32_t from, const float* gates,
                      Part part) const override {
    const size_t width = static_cast<size_t>(kLane * vectors);
    for (int32_t c = from; c < n_in() && part.index == 0; ++c)
      for (size_t s = 0; s < width; ++s) {
        float sum = 0.0f;
        for (int32_t r = 0; r < n_out(); ++r) sum += weight(r, c) * dy[static_cast<size_t>(r) * width + s];
        const bool open = !gates || gates[static_cast<size_t>(c) * width + s] > 0.0f;
        dx[static_cast<size_t>(c - from) * width + s] = open ? sum : 0.0f;
      }
  }
  void weight_gradient(const float* dy, const float* x, float* gradient, int vectors, bool accumulate, float*,
                       Part part) const override {
    const size_t width = static_cast<size_t>(kLane * vectors), rows = static_cast<size_t>(n_out());
    for (size_t k = 0; k < connections() && part.index == 0; ++k) {
      float sum = 0.0f;
      for (size_t s = 0; s < width; ++s) sum += dy[k % rows * width + s] * x[k / rows * width + s];
      gradient[k] = accumulate ? gradient[k] + sum : sum;
    }
  }
  void stretches(Part part, const Visit& visit) const override {
    if (part.index == 0) visit(0, connections());
  }
  void act(const float* x, float* y, const float* bias, bool relu) const override { multiply(x, y, 1, bias, relu); }

 private:
  size_t place(size_t k) const {
    const size_t rows = static_cast<size_t>(n_out());
    return k % rows * static_cast<size_t>(n_in()) + k / rows;
  }
  float weight(int32_t r, int32_t c) const {
    return values[static_cast<size_t>(c) * static_cast<size_t>(n_out()) + static_cast<size_t>(r)];
  }
  void multiply(const float* x, float* y, size_t width, const float* bias, bool relu) const {
    for (int32_t r = 0; r < n_out(); ++r)
      for (size_t s = 0; s < width; ++s) {
        float sum = bias ? bias[r] : 0.0f;
        for (int32_t c = 0; c < n_in(); ++c) sum += weight(r, c) * x[static_cast<size_t>(c) * width + s];
        y[static_cast<size_t>(r) * width + s] = relu && !(sum > 0.0f) ? 0.0f : sum;
      }
  }
};

}  // namespace

std::unique_ptr<Weights> make_by_column(const WeightsSpec& spec) { return std::make_unique<ByColumn>(spec); }

}  // namespace rewirl
