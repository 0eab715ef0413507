// y = a * b, number by number.
#include <stdexcept>

#include "operations/operations.hpp"

namespace rewirl {
namespace {

class Multiply final : public Operation {
 public:
  explicit Multiply(const OperationSpec& spec) : Operation(spec, spec.features[0]) {
    if (spec.features[1] != features)
      throw std::invalid_argument("the operation " + name + " multiplies values of " + std::to_string(features) +
                                  " and " + std::to_string(spec.features[1]) + " features");
  }
  const char* kind() const override { return "multiply"; }

  void forward(const Forward& tile, Part) const override {
    for (size_t i = 0; i < tile.numbers(features); ++i) tile.out[i] = tile.in[0][i] * tile.in[1][i];
  }

  void input_gradient(const Backward& tile, Part) const override {
    for (int j = 0; j < 2; ++j)
      if (float* d = tile.d_in[j])
        for (size_t i = 0; i < tile.numbers(features); ++i) {
          const float own = tile.d_out[i] * tile.in[1 - j][i];
          d[i] = tile.accumulate[j] ? d[i] + own : own;
        }
  }

  void act(const float* const* in, float* out, Epilogue) const override {
    for (int32_t i = 0; i < features; ++i) out[i] = in[0][i] * in[1][i];
  }

  bool streams() const override { return true; }
  void act_gradient(const float* const* in, const float*, const float* d_out, float* const* d_in) const override {
    for (int j = 0; j < 2; ++j)
      if (float* d = d_in[j])
        for (int32_t i = 0; i < features; ++i) d[i] += d_out[i] * in[1 - j][i];
  }
};

}  // namespace

std::unique_ptr<Operation> make_multiply(const OperationSpec& spec) {
  spec.require_inputs(2);
  return std::make_unique<Multiply>(spec);
}

}  // namespace rewirl
