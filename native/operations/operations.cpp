#include "operations/operations.hpp"

#include "registry.hpp"

namespace rewirl {
namespace {

Registry<OperationFactory>& kinds() {
#define REWIRL_ENTRY(kind) {#kind, make_##kind},
  static Registry<OperationFactory> all("an", "operation", {REWIRL_OPERATIONS(REWIRL_ENTRY)});
#undef REWIRL_ENTRY
  return all;
}

}  // namespace

void register_operation(const std::string& kind, OperationFactory make) { kinds().add(kind, make); }

std::unique_ptr<Operation> make_operation(const OperationSpec& spec) { return kinds().find(spec.kind)(spec); }

}  // namespace rewirl
