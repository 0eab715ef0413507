#include "formats/formats.hpp"

#include "registry.hpp"

namespace rewirl {
namespace {

Registry<WeightsFactory>& formats() {
#define REWIRL_ENTRY(name) {#name, make_##name},
  static Registry<WeightsFactory> all("a", "weight format", {REWIRL_FORMATS(REWIRL_ENTRY)});
#undef REWIRL_ENTRY
  return all;
}

}  // namespace

void register_format(const std::string& name, WeightsFactory make) { formats().add(name, make); }

std::unique_ptr<Weights> make_weights(const std::string& format, const WeightsSpec& spec) {
  return formats().find(format)(spec);
}

}  // namespace rewirl
