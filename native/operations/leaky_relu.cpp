// y = x where x > 0, else slope * x.
#include "operations/elementwise.hpp"

namespace rewirl {
namespace {

struct LeakyReLU {
  static constexpr const char* kKind = "leaky_relu";
  static constexpr Epilogue kEpilogue = Epilogue::none;
  static float value(float x, float below) { return x > 0.0f ? x : below * x; }
  static float slope(float x, float, float below) { return x <= 0.0f ? below : 1.0f; }
};

}  // namespace

std::unique_ptr<Operation> make_leaky_relu(const OperationSpec& spec) {
  spec.require_inputs(1);
  return std::make_unique<Elementwise<LeakyReLU>>(spec, static_cast<float>(spec.number("slope")));
}

}  // namespace rewirl
