// What operations on two values, number by number, have in common.
#pragma once
#include <stdexcept>
#include <string>

#include "operations/operations.hpp"

namespace rewirl {

// y = f(a, b): a type with static float value(float a, float b), and pull(float d, float other), the gradient of one of
// them, given that of y and the other one.
template <class Function>
class Pairwise final : public Operation {
 public:
  explicit Pairwise(const OperationSpec& spec) : Operation(spec, spec.features[0]) {
    if (spec.features[1] != features)
      throw std::invalid_argument("the operation " + name + " " + Function::kVerb + " values of " +
                                  std::to_string(features) + " and " + std::to_string(spec.features[1]) + " features");
  }

  const char* kind() const override { return Function::kKind; }

  void forward(const Forward& tile, Part) const override {
    for (size_t i = 0; i < tile.numbers(features); ++i) tile.out[i] = Function::value(tile.in[0][i], tile.in[1][i]);
  }

  void input_gradient(const Backward& tile, Part) const override {
    for (int j = 0; j < 2; ++j)
      if (float* d = tile.d_in[j])
        for (size_t i = 0; i < tile.numbers(features); ++i) {
          const float own = Function::pull(tile.d_out[i], tile.in[1 - j][i]);
          d[i] = tile.accumulate[j] ? d[i] + own : own;
        }
  }

  void act(const float* const* in, float* out, Epilogue) const override {
    for (int32_t i = 0; i < features; ++i) out[i] = Function::value(in[0][i], in[1][i]);
  }

  bool streams() const override { return true; }
  void act_gradient(const float* const* in, const float*, const float* d_out, float* const* d_in) const override {
    for (int j = 0; j < 2; ++j)
      if (float* d = d_in[j])
        for (int32_t i = 0; i < features; ++i) d[i] += Function::pull(d_out[i], in[1 - j][i]);
  }
};

}  // namespace rewirl
