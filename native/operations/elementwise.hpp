// What operations on single numbers have in common.
#pragma once
#include <vector>

#include "operations/operations.hpp"

namespace rewirl {

// y = f(x): a type with static float value(float x, float setting) and slope(float x, float y, float setting).
template <class Function>
class Elementwise : public Operation {
 public:
  Elementwise(const OperationSpec& spec, float setting) : Operation(spec, spec.features[0]), setting_(setting) {}

  const char* kind() const override { return Function::kKind; }
  Epilogue epilogue() const override { return Function::kEpilogue; }

  void forward(const Forward& tile, Part) const override {
    for (size_t i = 0; i < tile.numbers(features); ++i) tile.out[i] = Function::value(tile.in[0][i], setting_);
  }

  void input_gradient(const Backward& tile, Part) const override {
    float* d = tile.d_in[0];
    for (size_t i = 0; i < tile.numbers(features); ++i) {
      const float own = tile.d_out[i] * Function::slope(tile.in[0][i], tile.out[i], setting_);
      d[i] = tile.accumulate[0] ? d[i] + own : own;
    }
  }

  void act(const float* const* in, float* out, Epilogue) const override {
    for (int32_t i = 0; i < features; ++i) out[i] = Function::value(in[0][i], setting_);
  }

  bool streams() const override { return true; }
  void act_gradient(const float* const* in, const float* out, const float* d_out, float* const* d_in) const override {
    if (float* d = d_in[0])
      for (int32_t i = 0; i < features; ++i) d[i] += d_out[i] * Function::slope(in[0][i], out[i], setting_);
  }

 private:
  float setting_;
};

}  // namespace rewirl
