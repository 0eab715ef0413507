// Products with matrices in blocks, outputs that share their inputs: what is loaded of an input serves all outputs of
// its block, so that arithmetic is the limit and not loads.
#pragma once
#include "kernels/tiles.hpp"

namespace rewirl {
namespace {

// Rows of a block at a time: with 16 registers up to four, in several passes over the group's inputs.
constexpr int kBlockRows = kWidth == 16 ? 8 : 4;
constexpr int rows_from(int height, int at) { return height - at < kBlockRows ? height - at : kBlockRows; }

// Vectors of samples at a time: so many for each row, and for an input, and one for a weight are held in registers.
template <int R>
constexpr int kStrip = kWidth == 16 ? (R > 6   ? 3
                                       : R > 2 ? 4
                                               : 8)
                                    : (R > 2 ? 3 : 4);

template <int N>
struct Count {
  static constexpr int value = N;
};

// Calls strip(Count<vectors>, where it begins) for strips of a tile that are at most so many vectors wide.
template <int Most, class Strip>
REWIRL_INLINE void for_strips(int vectors, Strip strip) {
  const int all = vectors * kPasses;
  int done = 0;
  for (int passes = (all + Most - 1) / Most; passes > 0; --passes) {
    const int here = (all - done + passes - 1) / passes, offset = done * kWidth;
    if (here == Most) {
      strip(Count<Most>{}, offset);
    } else {
      switch (here) {
        case 1: strip(Count<1>{}, offset); break;
        case 2: strip(Count<(Most > 2 ? 2 : 1)>{}, offset); break;
        case 3: strip(Count<(Most > 3 ? 3 : 1)>{}, offset); break;
        case 4: strip(Count<(Most > 4 ? 4 : 1)>{}, offset); break;
        case 5: strip(Count<(Most > 5 ? 5 : 1)>{}, offset); break;
        case 6: strip(Count<(Most > 6 ? 6 : 1)>{}, offset); break;
        default: strip(Count<(Most > 7 ? 7 : 1)>{}, offset); break;
      }
    }
    done += here;
  }
}

template <class Column>
REWIRL_INLINE const Column* columns_of(const BlockMatrix& a) {
  if constexpr (sizeof(Column) == 2)
    return a.column;
  else
    return a.wide_column;
}

// The first of these blocks, sorted by input, of an input that is not before `from`.
template <class Column>
REWIRL_INLINE size_t first_block(const Column* column, size_t begin, size_t end, int32_t from) {
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    if (static_cast<int32_t>(column[middle]) < from)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin;
}

struct BlockForward {
  BlockMatrix a;
  const float *values, *x;
  float* y;  // of the first group
  int width, group_begin, group_end;
  const float* bias;
  bool relu;
};

// Rows [At, At + R) of a group, for NV vectors of the tile.
template <int H, int At, int NV, class Column>
REWIRL_INLINE void block_forward_rows(const BlockForward& f, int group, size_t begin, size_t end, int offset) {
  constexpr int R = rows_from(H, At);
  const int W = f.width;
  const size_t row = static_cast<size_t>(group) * H + At;
  Vec acc[R][NV];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const Vec initial = set1(f.bias ? f.bias[row + static_cast<size_t>(r)] : 0.0f);
#pragma GCC unroll 8
    for (int t = 0; t < NV; ++t) acc[r][t] = initial;
  }
  const Column* column = columns_of<Column>(f.a);
  const float* x = f.x + offset;
  for (size_t k = begin; k < end; ++k) {
    const float *in = x + static_cast<size_t>(column[k]) * W, *w = f.values + k * H + At;
    Vec xt[NV];
#pragma GCC unroll 8
    for (int t = 0; t < NV; ++t) {
      xt[t] = load(in + t * kWidth);
      keep(xt[t]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec b = set1(w[r]);
#pragma GCC unroll 8
      for (int t = 0; t < NV; ++t) acc[r][t] = fma(b, xt[t], acc[r][t]);
    }
  }
  float* out = f.y + row * static_cast<size_t>(W) + offset;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int t = 0; t < NV; ++t) store(out + r * W + t * kWidth, f.relu ? relu(acc[r][t]) : acc[r][t]);
  if constexpr (At + R < H) block_forward_rows<H, At + R, NV, Column>(f, group, begin, end, offset);
}

template <int H, class Column>
void block_forward_h(const BlockForward& f) {
  for_strips<kStrip<rows_from(H, 0)>>(f.width / kLane, [&](auto count, int offset) {
    for (int g = f.group_begin; g < f.group_end; ++g)
      block_forward_rows<H, 0, decltype(count)::value, Column>(f, g, f.a.start[g] - f.a.start[0],
                                                               f.a.start[g + 1] - f.a.start[0], offset);
  });
}

struct BlockInput {
  BlockMatrix a;
  const float *values, *dy;
  float* dx;  // of column_begin
  int width;
  int32_t column_begin, column_end;
  const float* gates;  // of column_begin
  bool in_passing;     // whether sums go through the gates as they are done; else all after the last part
  bool last;
};

struct Zeros {
  alignas(64) float number[kLane * kMaxVectors] = {};
};
constexpr Zeros kZeros;

// One of two addresses, without a branch: no processor predicts what a random topology has next.
REWIRL_INLINE const float* either(unsigned first, const float* a, const float* b) {
  const intptr_t one = reinterpret_cast<intptr_t>(a), other = reinterpret_cast<intptr_t>(b);
  return reinterpret_cast<const float*>(other ^ ((one ^ other) & -static_cast<intptr_t>(first)));
}

// Gradient rows [At, At + R) of a group stay in registers; what they give to its inputs is added to dx. The first block
// of an input adds to zeros instead, and the last one goes through the gates if they are asked for here.
template <int H, int At, int NV, bool Gated, class Column>
REWIRL_INLINE void block_input_rows(const BlockInput& f, int group, size_t begin, size_t end, int offset) {
  constexpr int R = rows_from(H, At);
  constexpr bool kFirst = At == 0, kLast = At + R == H;
  const int W = f.width;
  const float* rows = f.dy + (static_cast<size_t>(group) * H + At) * static_cast<size_t>(W) + offset;
  Vec d[R][NV];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int t = 0; t < NV; ++t) {
      d[r][t] = load(rows + r * W + t * kWidth);
      keep(d[r][t]);
    }
  // What is stored may lie anywhere, as far as the compiler knows, so what f has would be loaded again for every block.
  const Column* column = columns_of<Column>(f.a);
  const uint8_t* edge = f.a.edge;
  const float *values = f.values + At, *all_gates = f.gates + (Gated ? offset : 0), *zeros = kZeros.number;
  float* dx = f.dx + offset;
  const ptrdiff_t from = f.column_begin, width = W;
  for (size_t k = begin; k < end; ++k) {
    const ptrdiff_t at = (static_cast<ptrdiff_t>(column[k]) - from) * width;
    float* out = dx + at;
    const float *w = values + k * H, *in = kFirst ? either(edge[k] & 1u, zeros, out) : out;
    Vec s[NV];
#pragma GCC unroll 8
    for (int t = 0; t < NV; ++t) s[t] = load(in + t * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec b = set1(w[r]);
#pragma GCC unroll 8
      for (int t = 0; t < NV; ++t) s[t] = fma(b, d[r][t], s[t]);
    }
    if constexpr (Gated && kLast) {
      if (edge[k] > 1) {
        const float* gates = all_gates + at;
#pragma GCC unroll 8
        for (int t = 0; t < NV; ++t) s[t] = gate(load(gates + t * kWidth), s[t]);
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < NV; ++t) store(out + t * kWidth, s[t]);
  }
  if constexpr (At + R < H) block_input_rows<H, At + R, NV, Gated, Column>(f, group, begin, end, offset);
}

template <int H, class Column>
void block_input_h(const BlockInput& f) {
  const Column* column = columns_of<Column>(f.a);
  for_strips<kStrip<rows_from(H, 0)>>(f.width / kLane, [&](auto count, int offset) {
    constexpr int NV = decltype(count)::value;
    for (int g = 0; g < f.a.groups; ++g) {
      size_t begin = f.a.start[g] - f.a.start[0], end = f.a.start[g + 1] - f.a.start[0];
      if (f.column_begin > 0) begin = first_block(column, begin, end, f.column_begin);
      if (f.column_end < f.a.columns) end = first_block(column, begin, end, f.column_end);
      if (begin == end) continue;
      if (f.gates && f.in_passing)
        block_input_rows<H, 0, NV, true, Column>(f, g, begin, end, offset);
      else
        block_input_rows<H, 0, NV, false, Column>(f, g, begin, end, offset);
    }
    if (!f.gates || f.in_passing || !f.last) return;
    for (int32_t c = 0; c < f.column_end - f.column_begin; ++c) {
      const ptrdiff_t at = static_cast<ptrdiff_t>(c) * f.width + offset;
#pragma GCC unroll 8
      for (int t = 0; t < NV; ++t)
        store(f.dx + at + t * kWidth, gate(load(f.gates + at + t * kWidth), load(f.dx + at + t * kWidth)));
    }
  });
}

// out[i] (+)= the sum of the lanes of a[i].
template <int N>
REWIRL_INLINE void store_sums(const Vec (&a)[N], float* out, bool accumulate) {
#if defined(REWIRL_AVX512)
  if constexpr (N == 16) {
    Vec q[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) q[i] = quads(pairs(a[4 * i], a[4 * i + 1]), pairs(a[4 * i + 2], a[4 * i + 3]));
    const Vec low = _mm512_shuffle_f32x4(q[0], q[1], 0x44) + _mm512_shuffle_f32x4(q[0], q[1], 0xee);
    const Vec high = _mm512_shuffle_f32x4(q[2], q[3], 0x44) + _mm512_shuffle_f32x4(q[2], q[3], 0xee);
    const Vec s = _mm512_shuffle_f32x4(low, high, 0x88) + _mm512_shuffle_f32x4(low, high, 0xdd);
    store(out, accumulate ? s + load(out) : s);
    return;
  }
#elif defined(REWIRL_AVX2)
  if constexpr (N == 8) {
    const Vec low = quads(pairs(a[0], a[1]), pairs(a[2], a[3])), high = quads(pairs(a[4], a[5]), pairs(a[6], a[7]));
    const Vec s = _mm256_permute2f128_ps(low, high, 0x20) + _mm256_permute2f128_ps(low, high, 0x31);
    store(out, accumulate ? s + load(out) : s);
    return;
  }
#endif
#pragma GCC unroll 4
  for (int i = 0; i < N; i += 4) {
    const Vec zero = set1(0.0f);
    V4 s = sums(a[i], i + 1 < N ? a[i + 1 < N ? i + 1 : 0] : zero, i + 2 < N ? a[i + 2 < N ? i + 2 : 0] : zero,
                i + 3 < N ? a[i + 3 < N ? i + 3 : 0] : zero);
    if (i + 4 <= N) {
      store4(out + i, accumulate ? s + load4(out + i) : s);
    } else {
      for (int j = 0; i + j < N; ++j) out[i + j] = accumulate ? out[i + j] + s[j] : s[j];
    }
  }
}

struct BlockGradient {
  BlockMatrix a;
  const float* dy;  // of the first group and tile
  ptrdiff_t dy_stride;
  const float* x;
  ptrdiff_t x_stride;
  int tiles, width;
  float* gradient;
  bool accumulate;
};

// Inputs at a time: with so many rows they make as many independent sums as the latency of a multiplication takes.
template <int R>
constexpr int kBlockInputs = (kWidth == 16 ? 16 : 8) / R > 8 ? 8 : (kWidth == 16 ? 16 : 8) / R;

// The blocks [k, end), C of them at a time and then fewer: sums over the tiles of rows [At, At + R).
template <int H, int At, int C, class Column>
REWIRL_INLINE void block_gradient_rows(const BlockGradient& f, int group, size_t k, size_t end) {
  constexpr int R = rows_from(H, At);
  const int W = f.width;
  const float* rows = f.dy + (static_cast<size_t>(group) * H + At) * static_cast<size_t>(W);
  const Column* column = columns_of<Column>(f.a);
  for (; k + C <= end; k += C) {
    Vec acc[C * R];
#pragma GCC unroll 16
    for (int i = 0; i < C * R; ++i) acc[i] = set1(0.0f);
    for (int tile = 0; tile < f.tiles; ++tile) {
      const float *d = rows + tile * f.dy_stride, *in[C];
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c)
        in[c] = f.x + tile * f.x_stride + static_cast<size_t>(column[k + static_cast<size_t>(c)]) * W;
      for (int s = 0; s < W; s += kWidth) {
        Vec xt[C];
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
          xt[c] = load(in[c] + s);
          keep(xt[c]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          Vec dt = load(d + r * W + s);
          if (C > 1) keep(dt);
#pragma GCC unroll 8
          for (int c = 0; c < C; ++c) acc[c * R + r] = fma(dt, xt[c], acc[c * R + r]);
        }
      }
    }
    float* out = f.gradient + k * H + At;
    if constexpr (R == H) {
      store_sums<C * R>(acc, out, f.accumulate);
    } else {
      float found[C * R];
      store_sums<C * R>(acc, found, false);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c)
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
          out[c * H + r] = f.accumulate ? out[c * H + r] + found[c * R + r] : found[c * R + r];
    }
  }
  if constexpr (C > 1) block_gradient_rows<H, At, C / 2, Column>(f, group, k, end);
}

template <int H, int At, class Column>
REWIRL_INLINE void block_gradient_group(const BlockGradient& f, int group, size_t begin, size_t end) {
  constexpr int R = rows_from(H, At);
  block_gradient_rows<H, At, kBlockInputs<R>, Column>(f, group, begin, end);
  if constexpr (At + R < H) block_gradient_group<H, At + R, Column>(f, group, begin, end);
}

template <int H, class Column>
void block_gradient_h(const BlockGradient& f, int group_begin, int group_end) {
  for (int g = group_begin; g < group_end; ++g)
    block_gradient_group<H, 0, Column>(f, g, f.a.start[g] - f.a.start[0], f.a.start[g + 1] - f.a.start[0]);
}

#define REWIRL_FOR_HEIGHTS(a, CALL)                                          \
  switch ((a).height) {                                                      \
    case 1: (a).wide_column ? CALL(1, uint32_t) : CALL(1, uint16_t); break;  \
    case 2: (a).wide_column ? CALL(2, uint32_t) : CALL(2, uint16_t); break;  \
    case 3: (a).wide_column ? CALL(3, uint32_t) : CALL(3, uint16_t); break;  \
    case 4: (a).wide_column ? CALL(4, uint32_t) : CALL(4, uint16_t); break;  \
    case 5: (a).wide_column ? CALL(5, uint32_t) : CALL(5, uint16_t); break;  \
    case 6: (a).wide_column ? CALL(6, uint32_t) : CALL(6, uint16_t); break;  \
    case 7: (a).wide_column ? CALL(7, uint32_t) : CALL(7, uint16_t); break;  \
    default: (a).wide_column ? CALL(8, uint32_t) : CALL(8, uint16_t); break; \
  }

void block_forward(const BlockMatrix& a, const float* values, const float* x, float* y, int vectors, int group_begin,
                   int group_end, const float* bias, bool relu) {
  const BlockForward f{a, values, x, y, kLane * vectors, group_begin, group_end, bias, relu};
#define CALL(H, Column) block_forward_h<H, Column>(f)
  REWIRL_FOR_HEIGHTS(a, CALL)
#undef CALL
}

void block_input_gradient(const BlockMatrix& a, const float* values, const float* dy, float* dx, int vectors,
                          int32_t column_begin, int32_t column_end, const float* gates, bool in_passing, bool last) {
  const BlockInput f{a, values, dy, dx, kLane * vectors, column_begin, column_end, gates, in_passing, last};
#define CALL(H, Column) block_input_h<H, Column>(f)
  REWIRL_FOR_HEIGHTS(a, CALL)
#undef CALL
}

void block_gradient(const BlockMatrix& a, const float* dy, ptrdiff_t dy_stride, const float* x, ptrdiff_t x_stride,
                    int tiles, int vectors, float* gradient, int group_begin, int group_end, bool accumulate) {
  const BlockGradient f{a, dy, dy_stride, x, x_stride, tiles, kLane * vectors, gradient, accumulate};
#define CALL(H, Column) block_gradient_h<H, Column>(f, group_begin, group_end)
  REWIRL_FOR_HEIGHTS(a, CALL)
#undef CALL
}

}  // namespace
}  // namespace rewirl
