// How the kernels go over a tile of samples with the vectors of an instruction set.
#pragma once
#include "kernels/kernels.hpp"
#include "kernels/vec.hpp"

namespace rewirl {
namespace {

constexpr int kPasses = kLane / kWidth;  // vectors of this instruction set per 16 samples

// Vectors of a tile that are processed at a time: as many accumulators as there are registers for, for R rows each. A
// row alone takes x from memory, which leaves 14 of 16 registers. Passes over a tile share its vectors out evenly.
template <int R>
constexpr int kMostVectors = kWidth == 16 ? 8
                             : R == 1     ? 14
                                          : 4;
constexpr int vectors_of_pass(int all, int most) {
  const int passes = (all + most - 1) / most;
  return (all + passes - 1) / passes;
}

// Rows of the panels that pay with this instruction set.
constexpr int kRowsOfPanel = kWidth == 16 ? kPanelRows : 1;

// With AVX2 as wide as one pass over a tile, for one row; wider ones also leave a block of inputs no room in 32 KiB.
constexpr int kWidest = kWidth == 8 ? kMostVectors<1> * kWidth : kLane * kMaxVectors;

#define REWIRL_FOR_VECTORS(vectors, CALL) \
  switch (vectors) {                      \
    case 1: CALL(1); break;               \
    case 2: CALL(2); break;               \
    case 3: CALL(3); break;               \
    case 4: CALL(4); break;               \
    case 5: CALL(5); break;               \
    case 6: CALL(6); break;               \
    case 7: CALL(7); break;               \
    default: CALL(8); break;              \
  }

REWIRL_INLINE float total(Vec x) { return sums(x, set1(0), set1(0), set1(0))[0]; }

// Four sums of rows, with bias and ReLU, of which the last may be beyond the end.
REWIRL_INLINE void finish4(V4 s, int row, int rows, float* y, const float* bias, bool relu) {
  for (int i = 0; i < 4 && row + i < rows; ++i) {
    const float z = bias ? s[i] + bias[row + i] : s[i];
    y[row + i] = relu && z <= 0.0f ? 0.0f : z;
  }
}

}  // namespace
}  // namespace rewirl
