#include "operations/operations.hpp"

#include <mutex>
#include <stdexcept>

namespace rewirl {
namespace {

std::mutex mutex;

using Registry = std::map<std::string, OperationFactory>;

const Registry& own() {
#define REWIRL_ENTRY(kind) {#kind, make_##kind},
  static const Registry kinds{REWIRL_OPERATIONS(REWIRL_ENTRY)};
#undef REWIRL_ENTRY
  return kinds;
}

Registry& registry() {
  static Registry kinds = own();
  return kinds;
}

}  // namespace

void register_operation(const std::string& kind, OperationFactory make) {
  if (own().count(kind) > 0) throw std::invalid_argument("there is an operation '" + kind + "' already");
  const std::lock_guard<std::mutex> lock(mutex);
  registry()[kind] = make;
}

std::unique_ptr<Operation> make_operation(const OperationSpec& spec) {
  OperationFactory make = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = registry().find(spec.kind);
    if (found == registry().end()) throw std::invalid_argument("there is no operation '" + spec.kind + "'");
    make = found->second;
  }
  return make(spec);
}

}  // namespace rewirl
