#include "formats/formats.hpp"

#include <map>
#include <mutex>
#include <stdexcept>

namespace rewirl {
namespace {

std::mutex mutex;

using Registry = std::map<std::string, WeightsFactory>;

const Registry& own() {
#define REWIRL_ENTRY(name) {#name, make_##name},
  static const Registry formats{REWIRL_FORMATS(REWIRL_ENTRY)};
#undef REWIRL_ENTRY
  return formats;
}

Registry& registry() {
  static Registry formats = own();
  return formats;
}

}  // namespace

void register_format(const std::string& name, WeightsFactory make) {
  if (own().count(name) > 0) throw std::invalid_argument("there is a weight format '" + name + "' already");
  const std::lock_guard<std::mutex> lock(mutex);
  registry()[name] = make;
}

std::unique_ptr<Weights> make_weights(const std::string& format, const WeightsSpec& spec) {
  WeightsFactory make = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = registry().find(format);
    if (found == registry().end()) throw std::invalid_argument("there is no weight format '" + format + "'");
    make = found->second;
  }
  return make(spec);
}

}  // namespace rewirl
