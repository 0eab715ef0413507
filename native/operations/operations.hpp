// The operations a network may have. A new one is a file that makes it and a line here.
#pragma once
#include "operation.hpp"

#define REWIRL_OPERATIONS(LINE) \
  LINE(linear)                  \
  LINE(relu)                    \
  LINE(leaky_relu)              \
  LINE(tanh)                    \
  LINE(add)                     \
  LINE(multiply)                \
  LINE(layer_norm)              \
  LINE(batch_norm)              \
  LINE(batch_renorm)            \
  LINE(parameter)

namespace rewirl {

#define REWIRL_DECLARE(kind) std::unique_ptr<Operation> make_##kind(const OperationSpec& spec);
REWIRL_OPERATIONS(REWIRL_DECLARE)
#undef REWIRL_DECLARE

}  // namespace rewirl
