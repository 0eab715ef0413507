// y = tanh(x).
#include <algorithm>

#include "kernels/cpu.hpp"
#include "operations/operations.hpp"

namespace rewirl {
namespace {

class Tanh final : public Operation {
 public:
  explicit Tanh(const OperationSpec& spec) : Operation(spec, spec.features[0]) {}
  const char* kind() const override { return "tanh"; }

  void forward(const Forward& tile, Part) const override {
    kernels().squash(tile.numbers(features), tile.in[0], nullptr, 0.0f, 0.0f, tile.out);
  }

  void input_gradient(const Backward& tile, Part) const override {
    float* d = tile.d_in[0];
    for (size_t i = 0; i < tile.numbers(features); ++i) {
      const float own = tile.d_out[i] * (1.0f - tile.out[i] * tile.out[i]);
      d[i] = tile.accumulate[0] ? d[i] + own : own;
    }
  }

  bool streams() const override { return true; }
  void act_gradient(const float* const*, const float* out, const float* d_out, float* const* d_in) const override {
    if (float* d = d_in[0])
      for (int32_t i = 0; i < features; ++i) d[i] += d_out[i] * (1.0f - out[i] * out[i]);
  }

  void act(const float* const* in, float* out, Epilogue) const override {
    float here[kLane] = {}, made[kLane];
    for (int32_t i = 0; i < features; i += kLane) {  // the kernel takes whole vectors
      const int32_t count = std::min<int32_t>(kLane, features - i);
      std::copy_n(in[0] + i, count, here);
      kernels().squash(kLane, here, nullptr, 0.0f, 0.0f, made);
      std::copy_n(made, count, out + i);
    }
  }
};

}  // namespace

std::unique_ptr<Operation> make_tanh(const OperationSpec& spec) {
  spec.require_inputs(1);
  return std::make_unique<Tanh>(spec);
}

}  // namespace rewirl
