#include "formats/unstructured.hpp"

namespace rewirl {

std::unique_ptr<Weights> make_unstructured(const WeightsSpec& spec) { return std::make_unique<Unstructured>(spec); }

}  // namespace rewirl
