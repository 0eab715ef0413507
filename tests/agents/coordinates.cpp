// A weight format of one's own in one file: every connection with its output and its input, sorted by them.
#include <algorithm>
#include <stdexcept>

#include "index.hpp"
#include "library.hpp"

namespace rewirl {
namespace {

class Coordinates final : public Weights {
 public:
  explicit Coordinates(const WeightsSpec& spec) : Weights(spec), all_(spec.connections) {
    for (size_t k = 0; k < spec.connections; ++k) {
      if (spec.places[k] < 0 || spec.places[k] >= static_cast<int64_t>(n_in()) * n_out())
        throw std::invalid_argument("place " + std::to_string(spec.places[k]) + " is outside the layer");
      all_[k] = {spec.places[k], static_cast<uint32_t>(k)};
    }
    std::sort(all_.begin(), all_.end());
    std::vector<uint32_t> order = counted(spec.connections);
    for (size_t k = 0; k < all_.size(); ++k) {
      if (k > 0 && all_[k].first == all_[k - 1].first)
        throw std::invalid_argument("place " + std::to_string(all_[k].first) + " is given twice");
      if (!trainable()) continue;  // a target keeps the order of the spec
      order[k] = all_[k].second;
      all_[k].second = static_cast<uint32_t>(k);
    }
    for (size_t k = 0; k < order.size(); ++k) values[k] = spec.values[order[k]];
    if (spec.order) *spec.order = order;
  }

  const char* format() const override { return "coordinates"; }
  std::vector<int64_t> places() const override {
    std::vector<int64_t> result(connections());
    for (const auto& [place, k] : all_) result[k] = place;
    return result;
  }
  std::vector<uint32_t> row_major() const override {
    std::vector<uint32_t> result;
    for (const auto& connection : all_) result.push_back(connection.second);
    return result;
  }

  void forward(const float* x, float* y, int vectors, const float* bias, Epilogue epilogue, Part part) const override {
    if (part.index == 0) multiply(x, y, static_cast<size_t>(kLane * vectors), bias, epilogue == Epilogue::relu);
  }
  void input_gradient(const float* dy, float* dx, int vectors, int32_t from, const float* gates,
                      Part part) const override {
    if (part.index > 0) return;
    const size_t width = static_cast<size_t>(kLane * vectors), count = static_cast<size_t>(n_in() - from) * width;
    std::fill_n(dx, count, 0.0f);
    each([&](size_t k, size_t r, size_t c) {
      if (c < static_cast<size_t>(from)) return;
      float* at = dx + (c - static_cast<size_t>(from)) * width;
      for (size_t s = 0; s < width; ++s) at[s] += values[k] * dy[r * width + s];
    });
    if (!gates) return;
    gates += static_cast<size_t>(from) * width;
    for (size_t i = 0; i < count; ++i) dx[i] = gates[i] > 0.0f ? dx[i] : 0.0f;
  }
  void weight_gradient(const float* dy, const float* x, float* gradient, int vectors, bool accumulate, float*,
                       Part part) const override {
    if (part.index > 0) return;
    const size_t width = static_cast<size_t>(kLane * vectors);
    each([&](size_t k, size_t r, size_t c) {
      float sum = 0.0f;
      for (size_t s = 0; s < width; ++s) sum += dy[r * width + s] * x[c * width + s];
      gradient[k] = accumulate ? gradient[k] + sum : sum;
    });
  }
  void stretches(Part part, const Visit& visit) const override {
    if (part.index == 0) visit(0, connections());
  }
  void act(const float* x, float* y, const float* bias, bool relu) const override { multiply(x, y, 1, bias, relu); }

 private:
  template <class Visit>
  void each(const Visit& visit) const {
    for (const auto& [place, k] : all_)
      visit(k, static_cast<size_t>(place / n_in()), static_cast<size_t>(place % n_in()));
  }
  void multiply(const float* x, float* y, size_t width, const float* bias, bool relu) const {
    const size_t rows = static_cast<size_t>(n_out());
    for (size_t r = 0; r < rows; ++r) std::fill_n(y + r * width, width, bias ? bias[r] : 0.0f);
    each([&](size_t k, size_t r, size_t c) {
      for (size_t s = 0; s < width; ++s) y[r * width + s] += values[k] * x[c * width + s];
    });
    for (size_t i = 0; relu && i < rows * width; ++i) y[i] = y[i] > 0.0f ? y[i] : 0.0f;
  }

  std::vector<std::pair<int64_t, uint32_t>> all_;  // place, and where its value is; sorted by place
};

std::unique_ptr<Weights> make_coordinates(const WeightsSpec& spec) { return std::make_unique<Coordinates>(spec); }

}  // namespace

REWIRL_REGISTER { register_format("coordinates", make_coordinates); }

}  // namespace rewirl
