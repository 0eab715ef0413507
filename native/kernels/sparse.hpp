// Products with sparse matrices: of tiles, of their gradients, and of single samples.
#pragma once
#include "kernels/tiles.hpp"

namespace rewirl {
namespace {

constexpr int bits(int pattern) { return pattern == 0 ? 0 : (pattern & 1) + bits(pattern >> 1); }

// The connections [begin, end) of the columns with one pattern: each loads a row of x once, for all rows of the
// pattern.
template <int W, bool Indirect, int R, int Pattern, int NV>
REWIRL_INLINE void spmm_group(const SparseMatrix& a, const float* values, uint32_t begin, uint32_t end, const float* x,
                              Vec (&acc)[R][NV]) {
  constexpr int M = bits(Pattern);
  for (size_t k = begin; k < end; k += M) {
    const float* row = x + static_cast<size_t>(a.column[k]) * W;
    keep(row);
    Vec w[M];
    for (size_t i = 0; i < M; ++i) w[i] = set1(values[Indirect ? a.source[k + i] : k + i]);
#pragma GCC unroll 14
    for (int t = 0; t < NV; ++t) {
      Vec xt = load(row + t * kWidth);
      if (M > 1) keep(xt);
      int i = 0;
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r)
        if (Pattern >> r & 1) acc[r][t] = fma(w[i++], xt, acc[r][t]);
    }
  }
}

template <int W, bool Indirect, int R, int Pattern, int NV>
REWIRL_INLINE void spmm_groups(const SparseMatrix& a, const float* values, const uint32_t* start, const float* x,
                               Vec (&acc)[R][NV]) {
  spmm_group<W, Indirect, R, Pattern, NV>(a, values, start[0], start[1], x, acc);
  if constexpr (Pattern + 1 < 1 << R) spmm_groups<W, Indirect, R, Pattern + 1, NV>(a, values, start + 1, x, acc);
}

struct Spmm {
  SparseMatrix a;
  const float *values, *x;
  float* y;  // of row_begin
  int row_begin, row_end;
  const float* bias;
  Epilogue epilogue;
  const float* gates;
};

// One panel of rows and one block of columns, for NV vectors of the tile.
template <int W, bool Indirect, int R, int NV>
REWIRL_INLINE void spmm_panel(const Spmm& s, const uint32_t* start, int block, int row, int offset) {
  const bool first = block == 0, last = block == s.a.blocks - 1;
  const auto inside = [&](int r) __attribute__((always_inline)) {
    return R == 1 || (row + r >= s.row_begin && row + r < s.row_end);
  };
  float* out = s.y + static_cast<ptrdiff_t>(row - s.row_begin) * W + offset;
  Vec acc[R][NV];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    if (first || !inside(r)) {
      const Vec initial = set1(first && s.bias && inside(r) ? s.bias[row + r] : 0.0f);
      for (int t = 0; t < NV; ++t) acc[r][t] = initial;
    } else {
      for (int t = 0; t < NV; ++t) acc[r][t] = load(out + r * W + t * kWidth);
    }
  }
  spmm_groups<W, Indirect, R, 1, NV>(s.a, s.values, start, s.x + static_cast<size_t>(block) * s.a.block * W + offset,
                                     acc);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    if (!inside(r)) continue;
    if (last && s.epilogue == Epilogue::relu) {
      for (int t = 0; t < NV; ++t) acc[r][t] = relu(acc[r][t]);
    } else if (last && s.epilogue == Epilogue::gate) {
      const float* g = s.gates + static_cast<size_t>(row + r) * W + offset;
      for (int t = 0; t < NV; ++t) acc[r][t] = gate(load(g + t * kWidth), acc[r][t]);
    }
    for (int t = 0; t < NV; ++t) store(out + r * W + t * kWidth, acc[r][t]);
  }
}

template <int T, int R, bool Indirect>
void spmm_t(const Spmm s) {
  constexpr int kAll = T * kPasses, NV = vectors_of_pass(kAll, kMostVectors<R>), patterns = (1 << R) - 1;
  const int panels = s.a.panels();
  const int panel_begin = s.row_begin / R, panel_end = (s.row_end + R - 1) / R;
  for (int b = 0; b < s.a.blocks; ++b) {
    for (int p = panel_begin; p < panel_end; ++p) {
      const uint32_t* start = s.a.start + (static_cast<size_t>(b) * panels + p) * patterns;
      if (start[0] == start[patterns] && b != 0 && b != s.a.blocks - 1) continue;
      for (int v = 0; v + NV <= kAll; v += NV) spmm_panel<kLane * T, Indirect, R, NV>(s, start, b, p * R, v * kWidth);
      if constexpr (kAll % NV > 0)
        spmm_panel<kLane * T, Indirect, R, kAll % NV>(s, start, b, p * R, (kAll - kAll % NV) * kWidth);
    }
  }
}

// R rows of a tile: in registers if there are enough of them, as all of the rows' connections need them.
template <int R, int T>
struct Rows {
  static constexpr int kVectors = T * kPasses;
  static constexpr bool kHeld = kWidth == 16;
  const float* data;
  Vec held[kHeld ? R : 1][kHeld ? kVectors : 1];
  // The last panel may have fewer rows; what stands for the others is not used.
  __attribute__((always_inline)) Rows(const float* rows, int count) : data(rows) {
    if (!kHeld) return;
    for (int r = 0; r < R; ++r)
      for (int t = 0; t < kVectors; ++t)
        held[kHeld ? r : 0][kHeld ? t : 0] = load(data + ((r < count ? r : 0) * kVectors + t) * kWidth);
  }
  __attribute__((always_inline)) Vec at(int r, int t) const {
    return kHeld ? held[kHeld ? r : 0][kHeld ? t : 0] : load(data + (r * kVectors + t) * kWidth);
  }
};

// out[c * M + i] (+)= dy[i-th row of the pattern] . x[c] over the tile, for C rows of x.
template <int R, int T, int Pattern, int C>
REWIRL_INLINE void dots(const Rows<R, T>& dy, const float* const (&x)[C], float* out, bool accumulate) {
  constexpr int M = bits(Pattern), N = M * C;
  static_assert(N <= 8, "up to eight sums at a time");
  Vec a[8];
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) a[j] = set1(0.0f);
#pragma GCC unroll(kWidth == 4 ? 4 : 32)  // in vectors of four all would be much to compile, and no faster
  for (int t = 0; t < T * kPasses; ++t) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      Vec xt = load(x[c] + t * kWidth);
      if (M > 1) keep(xt);
#pragma GCC unroll 4
      for (int r = 0, i = 0; r < R; ++r)
        if (Pattern >> r & 1) {
          a[c * M + i] = fma(dy.at(r, t), xt, a[c * M + i]);
          ++i;
        }
    }
  }
#pragma GCC unroll 2
  for (int j = 0; j < N; j += 4) {
    V4 s = sums(a[j], a[j + 1], a[j + 2], a[j + 3]);
    if (N - j >= 4) {
      if (accumulate) s += load4(out + j);
      store4(out + j, s);
    } else {
      for (int i = 0; i < N - j; ++i) out[j + i] = accumulate ? out[j + i] + s[i] : s[i];
    }
  }
}

// Gradients from `begin` on as long as there are C columns more; where it stopped.
template <int R, int T, int Pattern, int C, class Row>
REWIRL_INLINE size_t sddmm_columns(const Rows<R, T>& dy, Row row, size_t begin, size_t end, float* gradient,
                                   bool accumulate) {
  constexpr int M = bits(Pattern);
  size_t k = begin;
  for (; k + C * M <= end; k += C * M) {
    const float* x[C];
    for (int c = 0; c < C; ++c) {
      x[c] = row(k + static_cast<size_t>(c * M));
      keep(x[c]);
    }
    dots<R, T, Pattern, C>(dy, x, gradient + k, accumulate);
  }
  return k;
}

// The gradients [begin, end) of the columns with one pattern; row(k) is the row of x of position k.
template <int R, int T, int Pattern, class Row>
REWIRL_INLINE void sddmm_group(const Rows<R, T>& dy, Row row, size_t begin, size_t end, float* gradient,
                               bool accumulate) {
  constexpr int M = bits(Pattern);
  size_t k = begin;
  // Two multiplications a cycle, each four cycles long, take eight sums; and the more there are, the fewer loads of dy.
  if constexpr (M == 1 && !Rows<R, T>::kHeld)
    k = sddmm_columns<R, T, Pattern, 8>(dy, row, k, end, gradient, accumulate);
  k = sddmm_columns<R, T, Pattern, M == 1 ? 4 : 2>(dy, row, k, end, gradient, accumulate);
  if constexpr (M == 1) {
    if (k + 3 == end)
      dots<R, T, Pattern, 3>(dy, {row(k), row(k + 1), row(k + 2)}, gradient + k, accumulate);
    else if (k + 2 == end)
      dots<R, T, Pattern, 2>(dy, {row(k), row(k + 1)}, gradient + k, accumulate);
  }
  if (k + M == end) dots<R, T, Pattern, 1>(dy, {row(k)}, gradient + k, accumulate);
}

template <int R, int T, int Pattern, class Row>
REWIRL_INLINE void sddmm_groups(const Rows<R, T>& dy, Row row, const uint32_t* start, float* gradient,
                                bool accumulate) {
  sddmm_group<R, T, Pattern>(dy, row, start[0], start[1], gradient, accumulate);
  if constexpr (Pattern + 1 < 1 << R) sddmm_groups<R, T, Pattern + 1>(dy, row, start + 1, gradient, accumulate);
}

// Everything it calls is inlined, so Accumulate is known where gradients are written.
template <int T, int R, bool Accumulate>
void sddmm_t(const SparseMatrix& a, const float* dy, const float* x, float* gradient, int row_begin, int row_end) {
  constexpr int W = kLane * T, patterns = (1 << R) - 1;
  const int panels = a.panels();
  for (int b = 0; b < a.blocks; ++b) {
    const float* xb = x + static_cast<size_t>(b) * a.block * W;
    const auto row = [&](size_t k) __attribute__((always_inline)) { return xb + static_cast<size_t>(a.column[k]) * W; };
    for (int p = row_begin / R; p < (row_end + R - 1) / R; ++p)
      sddmm_groups<R, T, 1>(Rows<R, T>(dy + static_cast<size_t>(p) * R * W, a.rows - p * R), row,
                            a.start + (static_cast<size_t>(b) * panels + p) * patterns, gradient, Accumulate);
  }
}

// Panels of several rows where this instruction set makes none: the index was made for another one. That is rare, so it
// is done a row at a time, in the order of the above, and takes little code.

// Calls visit(begin, end, step, at) for the groups of a block that a row is in: columns have `step` positions, and that
// of the row is the at-th of them.
template <class Visit>
REWIRL_INLINE void each_group(const SparseMatrix& a, int block, int row, Visit visit) {
  const int bit = 1 << row % a.panel;
  const uint32_t* start = a.start + (static_cast<size_t>(block) * a.panels() + row / a.panel) * a.patterns();
  for (int pattern = 1; pattern <= a.patterns(); ++pattern)
    if (pattern & bit)
      visit(start[pattern - 1], start[pattern], __builtin_popcount(static_cast<unsigned>(pattern)),
            static_cast<size_t>(__builtin_popcount(static_cast<unsigned>(pattern & (bit - 1)))));
}

void spmm_by_row(const Spmm& s, int vectors) {
  const int width = kLane * vectors;
  for (int r = s.row_begin; r < s.row_end; ++r)
    for (int offset = 0; offset < width; offset += kWidth) {
      Vec acc = set1(s.bias ? s.bias[r] : 0.0f);
      for (int b = 0; b < s.a.blocks; ++b) {
        const float* x = s.x + static_cast<size_t>(b) * s.a.block * width + offset;
        each_group(s.a, b, r, [&](size_t begin, size_t end, int step, size_t at) __attribute__((always_inline)) {
          for (size_t k = begin; k < end; k += static_cast<size_t>(step))
            acc = fma(set1(s.values[s.a.source ? s.a.source[k + at] : k + at]),
                      load(x + static_cast<size_t>(s.a.column[k]) * width), acc);
        });
      }
      if (s.epilogue == Epilogue::relu) acc = relu(acc);
      if (s.epilogue == Epilogue::gate) acc = gate(load(s.gates + static_cast<ptrdiff_t>(r) * width + offset), acc);
      store(s.y + static_cast<ptrdiff_t>(r - s.row_begin) * width + offset, acc);
    }
}

void sddmm_by_row(const SparseMatrix& a, const float* dy, const float* x, float* gradient, int vectors, int row_begin,
                  int row_end, bool accumulate) {
  const int width = kLane * vectors;
  for (int r = row_begin; r < row_end; ++r)
    for (int b = 0; b < a.blocks; ++b)
      each_group(a, b, r, [&](size_t begin, size_t end, int step, size_t at) __attribute__((always_inline)) {
        for (size_t k = begin; k < end; k += static_cast<size_t>(step)) {
          const float *d = dy + static_cast<ptrdiff_t>(r) * width,
                      *in = x + (static_cast<ptrdiff_t>(b) * a.block + a.column[k]) * width;
          Vec sum = set1(0.0f);
          for (int t = 0; t < width; t += kWidth) sum = fma(load(d + t), load(in + t), sum);
          gradient[k + at] = accumulate ? gradient[k + at] + total(sum) : total(sum);
        }
      });
}

void spmm(const SparseMatrix& a, const float* values, const float* x, float* y, int vectors, int row_begin, int row_end,
          const float* bias, Epilogue epilogue, const float* gates) {
  const Spmm s{a, values, x, y, row_begin, row_end, bias, epilogue, gates};
  if (a.panel > 1 && kRowsOfPanel == 1) return spmm_by_row(s, vectors);
#define CALL(T)                                                                            \
  a.source       ? a.panel == 1 ? spmm_t<T, 1, true>(s) : spmm_t<T, kRowsOfPanel, true>(s) \
  : a.panel == 1 ? spmm_t<T, 1, false>(s)                                                  \
                 : spmm_t<T, kRowsOfPanel, false>(s)
  REWIRL_FOR_VECTORS(vectors, CALL)
#undef CALL
}

void sddmm(const SparseMatrix& a, const float* dy, const float* x, float* gradient, int vectors, int row_begin,
           int row_end, bool accumulate) {
  if (a.panel > 1 && kRowsOfPanel == 1)
    return sddmm_by_row(a, dy, x, gradient, vectors, row_begin, row_end, accumulate);
#define CALL(T)                                                                                          \
  accumulate     ? a.panel == 1 ? sddmm_t<T, 1, true>(a, dy, x, gradient, row_begin, row_end)            \
                                : sddmm_t<T, kRowsOfPanel, true>(a, dy, x, gradient, row_begin, row_end) \
  : a.panel == 1 ? sddmm_t<T, 1, false>(a, dy, x, gradient, row_begin, row_end)                          \
                 : sddmm_t<T, kRowsOfPanel, false>(a, dy, x, gradient, row_begin, row_end)
  REWIRL_FOR_VECTORS(vectors, CALL)
#undef CALL
}

void spmv(const SparseMatrix& a, const float* values, const float* x, float* y, const float* bias, bool relu) {
  for (int r = 0; r < a.rows; r += 4) {
    Vec acc[4] = {set1(0), set1(0), set1(0), set1(0)};
    for (int b = 0; b < a.blocks; ++b) {
      const uint32_t* start = a.start + static_cast<size_t>(b) * a.rows + r;
      const float* xb = x + static_cast<size_t>(b) * a.block;
      for (int i = 0; i < 4 && r + i < a.rows; ++i)
        acc[i] =
            gather_dot(values + start[i], a.column + start[i], static_cast<int>(start[i + 1] - start[i]), xb, acc[i]);
    }
    finish4(sums(acc[0], acc[1], acc[2], acc[3]), r, a.rows, y, bias, relu);
  }
}

}  // namespace
}  // namespace rewirl
