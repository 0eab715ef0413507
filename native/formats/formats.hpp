// The formats that weights may have. A new one is a file that makes it and a line here.
#pragma once
#include "weights.hpp"

#define REWIRL_FORMATS(LINE) \
  LINE(dense)                \
  LINE(blocks)               \
  LINE(unstructured)         \
  LINE(rows)

namespace rewirl {

#define REWIRL_DECLARE(name) std::unique_ptr<Weights> make_##name(const WeightsSpec& spec);
REWIRL_FORMATS(REWIRL_DECLARE)
#undef REWIRL_DECLARE

}  // namespace rewirl
