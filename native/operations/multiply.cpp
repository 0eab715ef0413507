// y = a * b, number by number.
#include "operations/pairwise.hpp"

namespace rewirl {
namespace {

struct Multiply {
  static constexpr const char *kKind = "multiply", *kVerb = "multiplies";
  static float value(float a, float b) { return a * b; }
  static float pull(float d, float other) { return d * other; }
};

}  // namespace

std::unique_ptr<Operation> make_multiply(const OperationSpec& spec) {
  spec.require_inputs(2);
  return std::make_unique<Pairwise<Multiply>>(spec);
}

}  // namespace rewirl
