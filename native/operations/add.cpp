// y = a + b, as at the end of a residual block.
#include "operations/pairwise.hpp"

namespace rewirl {
namespace {

struct Add {
  static constexpr const char *kKind = "add", *kVerb = "adds";
  static float value(float a, float b) { return a + b; }
  static float pull(float d, float) { return d; }
};

}  // namespace

std::unique_ptr<Operation> make_add(const OperationSpec& spec) {
  spec.require_inputs(2);
  return std::make_unique<Pairwise<Add>>(spec);
}

}  // namespace rewirl
