// y = max(x, 0), NaN for NaN. After weights they do it in their last step.
#include "operations/elementwise.hpp"

namespace rewirl {
namespace {

struct ReLU {
  static constexpr const char* kKind = "relu";
  static constexpr Epilogue kEpilogue = Epilogue::relu;
  static float value(float x, float) { return x <= 0.0f ? 0.0f : x; }
  static float slope(float, float y, float) { return y <= 0.0f ? 0.0f : 1.0f; }
};

}  // namespace

std::unique_ptr<Operation> make_relu(const OperationSpec& spec) {
  spec.require_inputs(1);
  return std::make_unique<Elementwise<ReLU>>(spec, 0.0f);
}

}  // namespace rewirl
