// What else is done with blocks: single samples, and the values of targets.
#pragma once
#include "kernels/blocks.hpp"

namespace rewirl {
namespace {

typedef int32_t B4 __attribute__((vector_size(16)));

// A single sample. Four chains of sums, so that none waits for another.
template <int H, class Column>
void block_act_h(const BlockMatrix& a, const float* values, const float* x, float* y, const float* bias, bool relu) {
  constexpr int P = 4 / (H > 4 ? 2 : 1);
  const Column* column = columns_of<Column>(a);
  for (int g = 0; g < a.groups; ++g) {
    const size_t begin = a.start[g] - a.start[0], end = a.start[g + 1] - a.start[0];
    float sum[H] = {};
    if constexpr (H % 4 == 0) {
      constexpr int Q = H / 4;
      V4 acc[P][Q] = {};
      size_t k = begin;
      for (; k + P <= end; k += P)
#pragma GCC unroll 4
        for (size_t p = 0; p < P; ++p)
#pragma GCC unroll 2
          for (size_t q = 0; q < Q; ++q) acc[p][q] += load4(values + (k + p) * H + 4 * q) * x[column[k + p]];
      for (; k < end; ++k)
        for (size_t q = 0; q < Q; ++q) acc[0][q] += load4(values + k * H + 4 * q) * x[column[k]];
      for (size_t q = 0; q < Q; ++q) {
        V4 all = acc[0][q];
        for (int p = 1; p < P; ++p) all += acc[p][q];
        store4(sum + 4 * q, all);
      }
    } else {
      for (size_t k = begin; k < end; ++k)
        for (int h = 0; h < H; ++h) sum[h] += values[k * H + static_cast<size_t>(h)] * x[column[k]];
    }
    for (int h = 0; h < H; ++h) {
      const float z = bias ? sum[h] + bias[g * H + h] : sum[h];
      y[g * H + h] = relu && z <= 0.0f ? 0.0f : z;
    }
  }
}

void block_act(const BlockMatrix& a, const float* values, const float* x, float* y, const float* bias, bool relu) {
#define CALL(H, Column) block_act_h<H, Column>(a, values, x, y, bias, relu)
  REWIRL_FOR_HEIGHTS(a, CALL)
#undef CALL
}

template <int H>
void block_scores_h(size_t blocks, const uint32_t* first, const float* values, float* scores) {
  for (size_t b = 0; b < blocks; ++b) {
    const float* w = values + first[b];
    float sum = 0.0f;
    if constexpr (H % 4 == 0) {
      const V4 sign = {-0.0f, -0.0f, -0.0f, -0.0f};
      V4 all = {};
      for (int h = 0; h < H; h += 4) all += (V4)(~(B4)sign & (B4)load4(w + h));
      sum = (all[0] + all[1]) + (all[2] + all[3]);
    } else {
      for (int h = 0; h < H; ++h) sum += w[h] < 0.0f ? -w[h] : w[h];
    }
    scores[b] = sum / static_cast<float>(H);
  }
}

template <int H>
void block_gather_h(size_t blocks, const uint32_t* first, const float* values, float* out) {
  for (size_t b = 0; b < blocks; ++b, out += H)
    for (int h = 0; h < H; ++h) out[h] = values[first[b] + static_cast<uint32_t>(h)];
}

#define REWIRL_FOR_SIZES(height, CALL) \
  switch (height) {                    \
    case 1: CALL(1); break;            \
    case 2: CALL(2); break;            \
    case 3: CALL(3); break;            \
    case 4: CALL(4); break;            \
    case 5: CALL(5); break;            \
    case 6: CALL(6); break;            \
    case 7: CALL(7); break;            \
    default: CALL(8); break;           \
  }

void block_scores(size_t blocks, int height, const uint32_t* first, const float* values, float* scores) {
#define CALL(H) block_scores_h<H>(blocks, first, values, scores)
  REWIRL_FOR_SIZES(height, CALL)
#undef CALL
}

void block_gather(size_t blocks, int height, const uint32_t* first, const float* values, float* out) {
#define CALL(H) block_gather_h<H>(blocks, first, values, out)
  REWIRL_FOR_SIZES(height, CALL)
#undef CALL
}

}  // namespace
}  // namespace rewirl
