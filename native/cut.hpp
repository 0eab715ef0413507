// What keeps the largest of many magnitudes, time after time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.hpp"

namespace rewirl {

class Cut {
 public:
  // Keeps the k largest magnitudes and makes the others zero; equal ones are kept in the order of their positions.
  void keep_largest(size_t n, float* w, size_t k);

 private:
  float limit_ = 0.0f;  // of the magnitudes that the last cut zeroed
  Buffer<uint32_t> candidates_;
  std::vector<float> magnitudes_;
};

}  // namespace rewirl
