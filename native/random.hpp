// Random numbers from NumPy's bit generators.
#pragma once
#include <cstddef>
#include <cstdint>

#include "buffer.hpp"

namespace rewirl {

// What NumPy's bit generators put into their capsules: the documented interface for extending numpy.random.
struct BitGenerator {
  void* state;
  uint64_t (*next_uint64)(void*);
  uint32_t (*next_uint32)(void*);
  double (*next_double)(void*);
  uint64_t (*next_raw)(void*);
};

// Uniform in [0, n), the same numbers as Generator.integers(n).
uint32_t below(const BitGenerator& bits, uint32_t n);

// Standard normal numbers, with room for whole groups of 32.
Buffer<float> normals(const BitGenerator& bits, size_t count);

}  // namespace rewirl
