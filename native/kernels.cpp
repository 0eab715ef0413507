// The kernels, compiled once per instruction set (REWIRL_AVX512, REWIRL_AVX2 or neither). All loops are static templates
// over vec.hpp's Vec; no standard header with inline functions is used, so nothing compiled for one set leaks to another.
#include "kernels.hpp"
#include "vec.hpp"

namespace rewirl {
namespace {

constexpr int kPasses = kLane / kWidth;  // vectors of this instruction set per 16 samples

// Vectors of a tile that are processed at a time: as many accumulators as there are registers for, for R rows each. A row alone
// takes x from memory, which leaves 14 of 16 registers. Passes over a tile share its vectors out evenly.
template <int R>
constexpr int kMostVectors = kWidth == 16 ? 8 : R == 1 ? 14 : 4;
constexpr int vectors_of_pass(int all, int most) {
  const int passes = (all + most - 1) / most;
  return (all + passes - 1) / passes;
}

// With AVX2 as wide as one pass over a tile, for one row; wider ones also leave a block of inputs no room in 32 KiB.
constexpr int kWidest = kWidth == 8 ? kMostVectors<1> * kWidth : kLane * kMaxVectors;

constexpr int bits(int pattern) { return pattern == 0 ? 0 : (pattern & 1) + bits(pattern >> 1); }

// The connections [begin, end) of the columns with one pattern: each loads a row of x once, for all rows of the pattern.
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
  const auto inside = [&](int r) __attribute__((always_inline)) { return R == 1 || (row + r >= s.row_begin && row + r < s.row_end); };
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
  spmm_groups<W, Indirect, R, 1, NV>(s.a, s.values, start, s.x + static_cast<size_t>(block) * s.a.block * W + offset, acc);
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
      if constexpr (kAll % NV > 0) spmm_panel<kLane * T, Indirect, R, kAll % NV>(s, start, b, p * R, (kAll - kAll % NV) * kWidth);
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
template <int R, int T, int Pattern, int C, bool Accumulate>
REWIRL_INLINE void dots(const Rows<R, T>& dy, const float* const (&x)[C], float* out) {
  constexpr int M = bits(Pattern), N = M * C;
  static_assert(N <= 8, "up to eight sums at a time");
  Vec a[8];
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) a[j] = set1(0.0f);
#pragma GCC unroll 32
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
      if (Accumulate) s += load4(out + j);
      store4(out + j, s);
    } else {
      for (int i = 0; i < N - j; ++i) out[j + i] = Accumulate ? out[j + i] + s[i] : s[i];
    }
  }
}

// Gradients from `begin` on as long as there are C columns more; where it stopped.
template <int R, int T, int Pattern, int C, bool Accumulate, class Row>
REWIRL_INLINE size_t sddmm_columns(const Rows<R, T>& dy, Row row, size_t begin, size_t end, float* gradient) {
  constexpr int M = bits(Pattern);
  size_t k = begin;
  for (; k + C * M <= end; k += C * M) {
    const float* x[C];
    for (int c = 0; c < C; ++c) {
      x[c] = row(k + static_cast<size_t>(c * M));
      keep(x[c]);
    }
    dots<R, T, Pattern, C, Accumulate>(dy, x, gradient + k);
  }
  return k;
}

// The gradients [begin, end) of the columns with one pattern; row(k) is the row of x of position k.
template <int R, int T, int Pattern, bool Accumulate, class Row>
REWIRL_INLINE void sddmm_group(const Rows<R, T>& dy, Row row, size_t begin, size_t end, float* gradient) {
  constexpr int M = bits(Pattern);
  size_t k = begin;
  // Two multiplications a cycle, each four cycles long, take eight sums; and the more there are, the fewer loads of dy.
  if constexpr (M == 1 && !Rows<R, T>::kHeld) k = sddmm_columns<R, T, Pattern, 8, Accumulate>(dy, row, k, end, gradient);
  k = sddmm_columns<R, T, Pattern, M == 1 ? 4 : 2, Accumulate>(dy, row, k, end, gradient);
  if constexpr (M == 1) {
    if (k + 3 == end) dots<R, T, Pattern, 3, Accumulate>(dy, {row(k), row(k + 1), row(k + 2)}, gradient + k);
    else if (k + 2 == end) dots<R, T, Pattern, 2, Accumulate>(dy, {row(k), row(k + 1)}, gradient + k);
  }
  if (k + M == end) dots<R, T, Pattern, 1, Accumulate>(dy, {row(k)}, gradient + k);
}

template <int R, int T, int Pattern, bool Accumulate, class Row>
REWIRL_INLINE void sddmm_groups(const Rows<R, T>& dy, Row row, const uint32_t* start, float* gradient) {
  sddmm_group<R, T, Pattern, Accumulate>(dy, row, start[0], start[1], gradient);
  if constexpr (Pattern + 1 < 1 << R) sddmm_groups<R, T, Pattern + 1, Accumulate>(dy, row, start + 1, gradient);
}

template <int T, int R, bool Accumulate>
void sddmm_t(const SparseMatrix& a, const float* dy, const float* x, float* gradient, int row_begin, int row_end) {
  constexpr int W = kLane * T, patterns = (1 << R) - 1;
  const int panels = a.panels();
  for (int b = 0; b < a.blocks; ++b) {
    const float* xb = x + static_cast<size_t>(b) * a.block * W;
    const auto row = [&](size_t k) __attribute__((always_inline)) { return xb + static_cast<size_t>(a.column[k]) * W; };
    for (int p = row_begin / R; p < (row_end + R - 1) / R; ++p)
      sddmm_groups<R, T, 1, Accumulate>(Rows<R, T>(dy + static_cast<size_t>(p) * R * W, a.rows - p * R), row,
                                        a.start + (static_cast<size_t>(b) * panels + p) * patterns, gradient);
  }
}

// c[i][0, NV) (+)= sum_k a[i, k] b[k][0, NV): M x NV accumulators in registers.
template <int M, int NV>
REWIRL_INLINE void micro(int depth, const float* a, ptrdiff_t row_stride, ptrdiff_t k_stride, const float* b,
                         ptrdiff_t b_stride, Vec (&acc)[M][NV]) {
  for (int k = 0; k < depth; ++k) {
    Vec x[NV];
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) {
      x[j] = load(b + k * b_stride + j * kWidth);
      keep(x[j]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      const Vec w = set1(a[i * row_stride + k * k_stride]);
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) acc[i][j] = fma(w, x[j], acc[i][j]);
    }
  }
}

struct Gemm {  // one block of depth of y = epilogue(bias + a x)
  const float* a;
  ptrdiff_t row_stride, k_stride;
  const float* x;
  float* y;
  int width, depth;
  const float* bias;
  const float* gates;
  bool first, last;
  Epilogue epilogue;
};

template <int M, int NV>
REWIRL_INLINE void gemm_tile(const Gemm& g, int row, int offset) {
  Vec acc[M][NV];
  float* y = g.y + static_cast<size_t>(row) * g.width + offset;
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < NV; ++j)
      acc[i][j] = g.first ? set1(g.bias ? g.bias[row + i] : 0.0f)
                          : load(y + static_cast<size_t>(i) * g.width + j * kWidth);
  micro<M, NV>(g.depth, g.a + row * g.row_stride, g.row_stride, g.k_stride, g.x + offset, g.width, acc);
  if (g.last && g.epilogue == Epilogue::relu)
    for (int i = 0; i < M; ++i)
      for (int j = 0; j < NV; ++j) acc[i][j] = relu(acc[i][j]);
  if (g.last && g.epilogue == Epilogue::gate)
    for (int i = 0; i < M; ++i)
      for (int j = 0; j < NV; ++j)
        acc[i][j] = gate(load(g.gates + static_cast<size_t>(row + i) * g.width + offset + j * kWidth), acc[i][j]);
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < NV; ++j) store(y + static_cast<size_t>(i) * g.width + j * kWidth, acc[i][j]);
}

template <int M, int NV>
void gemm_rows(const Gemm& g, int rows, int offset) {
  int row = 0;
  for (; row + M <= rows; row += M) gemm_tile<M, NV>(g, row, offset);
  for (; row < rows; ++row) gemm_tile<1, NV>(g, row, offset);
}

template <int NV>
void gemm_strip(const Gemm& g, int rows, int offset) {
  constexpr int M = kWidth == 16 ? (NV <= 4 ? 6 : 3) : 6;
  gemm_rows<M, NV>(g, rows, offset);
}

void gemm(int rows, int depth, const float* a, ptrdiff_t row_stride, ptrdiff_t k_stride, const float* x, float* y,
          int vectors, const float* bias, Epilogue epilogue, const float* gates) {
  const int width = kLane * vectors;
  // A block of x stays in the first-level cache; a strided operand touches a cache line per step, so fewer steps fit.
  const int step = k_stride == 1 ? 64 : 32;
  for (int k = 0; k < depth; k += step) {
    const int here = depth - k < step ? depth - k : step;
    const Gemm g{a + k * k_stride, row_stride, k_stride, x + static_cast<size_t>(k) * width, y, width, here,
                 bias, gates, k == 0, k + here == depth, epilogue};
    int left = width / kWidth, offset = 0;
    while (left > 0) {
      const int nv = left <= kGemmVectors ? left : (kWidth == 16 && left == 8 ? 4 : kGemmVectors);
      switch (nv) {
        case 1: gemm_strip<1>(g, rows, offset); break;
        case 2: gemm_strip<2>(g, rows, offset); break;
#if defined(REWIRL_AVX512)
        case 3: gemm_strip<3>(g, rows, offset); break;
        case 4: gemm_strip<4>(g, rows, offset); break;
        case 5: gemm_strip<5>(g, rows, offset); break;
        case 6: gemm_strip<6>(g, rows, offset); break;
        default: gemm_strip<7>(g, rows, offset); break;
#else
        default: break;
#endif
      }
      left -= nv;
      offset += nv * kWidth;
    }
  }
}

// x [n_in][W] -> panels [ceil(n_in / kPanel)][W][kPanel], zero where n_in ends.
void transpose_to_panels(int n_in, const float* x, int W, float* panels, int begin, int end) {
  for (int c = begin; c < end; c += 4) {
    float* out = panels + static_cast<size_t>(c / kPanel) * kPanel * W + c % kPanel;
    const float* rows[4];
    for (int i = 0; i < 4; ++i) rows[i] = x + static_cast<size_t>(c + i < n_in ? c + i : n_in - 1) * W;
    for (int s = 0; s < W; s += 4) {
      const Square square = transposed(load4(rows[0] + s), load4(rows[1] + s), load4(rows[2] + s), load4(rows[3] + s));
      for (int i = 0; i < 4; ++i) store4(out + static_cast<size_t>(s + i) * kPanel, square.row[i]);
    }
  }
}

template <int M, int NV>
REWIRL_INLINE void gradient_tile(int W, int row, const float* dy, const float* panel, int offset, int valid,
                                 float* gradient, ptrdiff_t stride, bool accumulate) {
  Vec acc[M][NV];
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < NV; ++j) acc[i][j] = set1(0.0f);
  micro<M, NV>(W, dy + static_cast<size_t>(row) * W, W, 1, panel + offset, kPanel, acc);
  for (int i = 0; i < M; ++i) {
    float* out = gradient + (row + i) * stride + offset;
    for (int j = 0; j < NV; ++j) {
      const int here = valid - offset - j * kWidth;
      if (here >= kWidth) {
        store(out + j * kWidth, accumulate ? acc[i][j] + load(out + j * kWidth) : acc[i][j]);
      } else if (here > 0) {
        float last[kWidth];
        store(last, acc[i][j]);
        for (int e = 0; e < here; ++e) out[j * kWidth + e] = accumulate ? out[j * kWidth + e] + last[e] : last[e];
      }
    }
  }
}

template <int T>
void dense_gradient_by_dots(int n_out, int n_in, const float* dy, const float* x, float* gradient, int begin, int end,
                            bool accumulate) {
  constexpr int W = kLane * T;
  auto row = [&](size_t k) __attribute__((always_inline)) { return x + k * W; };
  for (int r = 0; r < n_out; ++r) {
    const float* d = dy + static_cast<size_t>(r) * W;
    float* out = gradient + static_cast<size_t>(r) * n_in;
    if (accumulate) sddmm_group<1, T, 1, true>(Rows<1, T>(d, 1), row, static_cast<size_t>(begin), static_cast<size_t>(end), out);
    else sddmm_group<1, T, 1, false>(Rows<1, T>(d, 1), row, static_cast<size_t>(begin), static_cast<size_t>(end), out);
  }
}

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

void dense_gradient(int n_out, int n_in, const float* dy, const float* x, float* gradient, int vectors,
                    int column_begin, int column_end, bool accumulate, float* scratch) {
  if (n_out <= 6) {  // too few rows to pay for the transpose
#define CALL(T) dense_gradient_by_dots<T>(n_out, n_in, dy, x, gradient, column_begin, column_end, accumulate)
    REWIRL_FOR_VECTORS(vectors, CALL)
#undef CALL
    return;
  }
  const int W = kLane * vectors;
  transpose_to_panels(n_in, x, W, scratch, column_begin, column_end);
  constexpr int NV = kWidth == 16 ? 4 : 2, M = 6;
  for (int c = column_begin; c < column_end; c += kPanel) {
    const float* panel = scratch + static_cast<size_t>(c) * W;
    const int valid = column_end - c < kPanel ? column_end - c : kPanel;
    for (int offset = 0; offset < valid; offset += NV * kWidth) {
      int row = 0;
      for (; row + M <= n_out; row += M)
        gradient_tile<M, NV>(W, row, dy, panel, offset, valid, gradient + c, n_in, accumulate);
      for (; row < n_out; ++row)
        gradient_tile<1, NV>(W, row, dy, panel, offset, valid, gradient + c, n_in, accumulate);
    }
  }
}

void spmm(const SparseMatrix& a, const float* values, const float* x, float* y, int vectors, int row_begin,
          int row_end, const float* bias, Epilogue epilogue, const float* gates) {
const Spmm s{a, values, x, y, row_begin, row_end, bias, epilogue, gates};
#define CALL(T)                                                                           \
  a.source ? a.panel == 1 ? spmm_t<T, 1, true>(s) : spmm_t<T, kPanelRows, true>(s)        \
           : a.panel == 1 ? spmm_t<T, 1, false>(s) : spmm_t<T, kPanelRows, false>(s)
  REWIRL_FOR_VECTORS(vectors, CALL)
#undef CALL
}

template <int T, int R>
void sddmm_of(const SparseMatrix& a, const float* dy, const float* x, float* gradient, int row_begin, int row_end, bool accumulate) {
  accumulate ? sddmm_t<T, R, true>(a, dy, x, gradient, row_begin, row_end)
             : sddmm_t<T, R, false>(a, dy, x, gradient, row_begin, row_end);
}

void sddmm(const SparseMatrix& a, const float* dy, const float* x, float* gradient, int vectors, int row_begin,
           int row_end, bool accumulate) {
#define CALL(T)                                                                                   \
  a.panel == 1 ? sddmm_of<T, 1>(a, dy, x, gradient, row_begin, row_end, accumulate)               \
               : sddmm_of<T, kPanelRows>(a, dy, x, gradient, row_begin, row_end, accumulate)
  REWIRL_FOR_VECTORS(vectors, CALL)
#undef CALL
}

REWIRL_INLINE float total(Vec x) { return sums(x, set1(0), set1(0), set1(0))[0]; }

void row_sums(int rows, const float* dy, float* out, int vectors, bool accumulate) {
  const int n = vectors * kPasses;
  for (int r = 0; r < rows; ++r) {
    const float* d = dy + static_cast<size_t>(r) * n * kWidth;
    Vec s = load(d);
    for (int t = 1; t < n; ++t) s += load(d + t * kWidth);
    out[r] = accumulate ? out[r] + total(s) : total(s);
  }
}

struct Moved {
  Vec weight, first, second;
};

REWIRL_INLINE Moved adam_vector(Vec weight, Vec g, Vec m, Vec v, const AdamStep& s, Vec step_size, Vec inverse_root_c2) {
  const Vec gradient = fma(set1(s.weight_decay), weight, g);
  const Vec first = fma(set1(1.0f - s.beta1), gradient, set1(s.beta1) * m);
  const Vec second = fma(set1(1.0f - s.beta2), gradient * gradient, set1(s.beta2) * v);
  return {weight - divide(step_size * first, fma(sqrt(second), inverse_root_c2, set1(s.epsilon))), first, second};
}

void adam(size_t n, float* w, const float* g, float* m, float* v, const AdamStep& step) {
  const Vec step_size = set1(step.step_size), inverse_root_c2 = set1(step.inverse_root_c2);
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const Moved moved = adam_vector(load(w + i), load(g + i), load(m + i), load(v + i), step, step_size, inverse_root_c2);
    store(w + i, moved.weight);
    store(m + i, moved.first);
    store(v + i, moved.second);
  }
  if (i == n) return;
  const size_t rest = n - i;
  const Moved moved = adam_vector(load(w + i, rest), load(g + i, rest), load(m + i, rest), load(v + i, rest), step, step_size, inverse_root_c2);
  store(w + i, moved.weight, rest);
  store(m + i, moved.first, rest);
  store(v + i, moved.second, rest);
}

void adam_by_age(size_t n, float* w, const float* g, float* m, float* v, const AdamStep& step, const uint32_t* born,
                 uint32_t steps, const float* step_size, const float* inverse_root_c2, uint32_t entries) {
  for (size_t i = 0; i < n; i += kWidth) {
    const size_t here = n - i < kWidth ? n - i : kWidth;
    float sizes[kWidth] = {}, roots[kWidth] = {};
    for (size_t j = 0; j < here; ++j) {
      const uint32_t age = steps - born[i + j], entry = age < entries ? age : entries - 1;
      sizes[j] = step_size[entry];
      roots[j] = inverse_root_c2[entry];
    }
    if (here == kWidth) {
      const Moved moved = adam_vector(load(w + i), load(g + i), load(m + i), load(v + i), step, load(sizes), load(roots));
      store(w + i, moved.weight);
      store(m + i, moved.first);
      store(v + i, moved.second);
    } else {
      const Moved moved = adam_vector(load(w + i, here), load(g + i, here), load(m + i, here), load(v + i, here), step, load(sizes), load(roots));
      store(w + i, moved.weight, here);
      store(m + i, moved.first, here);
      store(v + i, moved.second, here);
    }
  }
}

void interpolate(size_t n, float* target, const float* online, float tau) {
  const Vec a = set1(tau), b = set1(1.0f - tau);
  size_t i = 0;
  if (!online) {
    for (; i + kWidth <= n; i += kWidth) store(target + i, b * load(target + i));
    if (i < n) store(target + i, b * load(target + i, n - i), n - i);
    return;
  }
  for (; i + kWidth <= n; i += kWidth) store(target + i, fma(a, load(online + i), b * load(target + i)));
  if (i < n) store(target + i, fma(a, load(online + i, n - i), b * load(target + i, n - i)), n - i);
}

// tanh to 4e-7: an odd rational function fitted to [-9, 9], beyond which it is +-1 in single precision.
REWIRL_INLINE Vec tanh_of(Vec given) {
  const Vec x = clamp(given, set1(-9.0f), set1(9.0f)), z = x * x;
  Vec p = fma(set1(-2.032916882e-14f), z, set1(9.060034727e-11f));
  p = fma(p, z, set1(1.625328034e-07f));
  p = fma(p, z, set1(4.954014894e-05f));
  p = fma(p, z, set1(4.685793008e-03f));
  p = fma(p, z, set1(1.428978290e-01f));
  p = fma(p, z, set1(1.0f));
  Vec q = fma(set1(5.269282667e-09f), z, set1(3.336244882e-06f));
  q = fma(q, z, set1(5.523659370e-04f));
  q = fma(q, z, set1(3.009618048e-02f));
  q = fma(q, z, set1(4.762311623e-01f));
  q = fma(q, z, set1(1.0f));
  return clamp(divide(x * p, q), set1(-1.0f), set1(1.0f));
}

void squash(size_t n, const float* x, const float* noise, float scale, float bound, float* out) {
  const Vec one = set1(1.0f), most = set1(bound), least = set1(-bound), factor = set1(scale);
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec y = tanh_of(load(x + i));
    store(out + i, noise ? clamp(y + clamp(factor * load(noise + i), least, most), set1(-1.0f), one) : y);
  }
}

// ln x for x > 0: x = 2^e m, and ln m = ln a + 2 atanh((m - a) / (m + a)) about a = sqrt(1/2)
REWIRL_INLINE Vec log_of(Vec x) {
  const IVec representation = (IVec)x;
  const Vec e = to_float((representation >> 23) - 126), m = (Vec)((representation & 0x7fffff) | 0x3f000000);
  const Vec a = set1(0.70710678f), s = divide(m - a, m + a), z = s * s;
  const Vec series = fma(fma(fma(z, set1(2.0f / 7.0f), set1(2.0f / 5.0f)), z, set1(2.0f / 3.0f)), z, set1(2.0f));
  return fma(e - set1(0.5f), set1(0.69314718f), s * series);
}

// e^x = 2^n e^r with |r| <= ln 2 / 2; x is held within [-87, 87], where the result is a normal number.
REWIRL_INLINE Vec exp_of(Vec given) {
  const Vec x = clamp(given, set1(-87.0f), set1(87.0f)), round = set1(12582912.0f);  // 1.5 * 2^23: its last bits count ones
  const Vec shifted = fma(x, set1(1.44269504f), round), n = shifted - round;
  const Vec r = fma(n, set1(2.12194440e-4f), fma(n, set1(-0.693359375f), x));
  Vec p = fma(r, set1(1.0f / 720.0f), set1(1.0f / 120.0f));
  p = fma(p, r, set1(1.0f / 24.0f));
  p = fma(p, r, set1(1.0f / 6.0f));
  p = fma(p, r, set1(0.5f));
  p = fma(p, r, set1(1.0f));
  p = fma(p, r, set1(1.0f));
  return p * (Vec)(((IVec)shifted << 23) + 0x3f800000);
}

// Beyond these bounds the logarithm of a standard deviation counts as the bound.
constexpr float kLeastLogStd = -20.0f, kMostLogStd = 2.0f;

void squashed_gaussian(size_t n, const float* mean, const float* log_std, const float* noise, float* squashed, float* log_probability) {
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec ls = clamp(load(log_std + i), set1(kLeastLogStd), set1(kMostLogStd)), e = load(noise + i);
    const Vec u = fma(exp_of(ls), e, load(mean + i)), away = (Vec)((IVec)u | INT32_MIN);  // -|u|
    store(squashed + i, tanh_of(u));
    // ln N(u) = -e^2 / 2 - log_std - ln(2 pi) / 2, and ln(1 - tanh^2 u) = 2 (ln 2 - |u| - ln(1 + exp(-2 |u|)))
    const Vec normal = fma(e * e, set1(-0.5f), set1(-0.91893853f)) - ls;
    const Vec volume = set1(2.0f) * (set1(0.69314718f) + away - log_of(set1(1.0f) + exp_of(away + away)));
    store(log_probability + i, load(log_probability + i) + (normal - volume));
  }
}

void squashed_gaussian_gradient(size_t n, const float* log_std, const float* noise, const float* squashed, const float* d_squashed,
                                const float* d_log_probability, float* d_mean, float* d_log_std) {
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec given = load(log_std + i), ls = clamp(given, set1(kLeastLogStd), set1(kMostLogStd));
    const Vec a = load(squashed + i), dp = load(d_log_probability + i);
    const Vec du = fma(load(d_squashed + i), fma(-a, a, set1(1.0f)), dp * (a + a));
    const Vec dls = fma(du * exp_of(ls), load(noise + i), -dp);
    store(d_mean + i, du);
    store(d_log_std + i, (Vec)((IVec)(given == ls) & (IVec)dls));
  }
}

// Box and Muller: of 32 numbers, the first 16 are the cosines of 16 points in the plane, the others the sines.
void normals(size_t n, const uint32_t* bits, float* out) {
  for (size_t i = 0; i < n; i += i % kLane + kWidth == kLane ? kLane + kWidth : kWidth) {
    // radius^2 = -2 ln u, with u in (0, 1) from 24 bits
    const Vec u = fma(to_float((load_bits(bits + i) >> 8) & 0xffffff), set1(0x1p-24f), set1(0x1p-25f));
    const Vec radius = sqrt(relu(set1(-2.0f) * log_of(u)));
    // cos and sin of pi x, with x in [-1, 1): polynomials fitted to 3e-9
    const Vec x = to_float(load_bits(bits + i + kLane)) * set1(0x1p-31f), q = x * x;
    Vec cosine = fma(q, set1(-8.869093714e-05f), set1(1.904328964e-03f));
    cosine = fma(cosine, q, set1(-2.578580878e-02f));
    cosine = fma(cosine, q, set1(2.353208255e-01f));
    cosine = fma(cosine, q, set1(-1.335260286e+00f));
    cosine = fma(cosine, q, set1(4.058711817e+00f));
    cosine = fma(cosine, q, set1(-4.934802186e+00f));
    cosine = fma(cosine, q, set1(1.0f));
    Vec sine = fma(q, set1(3.952804576e-04f), set1(-7.275315755e-03f));
    sine = fma(sine, q, set1(8.208188864e-02f));
    sine = fma(sine, q, set1(-5.992423075e-01f));
    sine = fma(sine, q, set1(2.550160356e+00f));
    sine = fma(sine, q, set1(-5.167712551e+00f));
    sine = fma(sine, q, set1(3.141592651e+00f));
    store(out + i, radius * cosine);
    store(out + i + kLane, radius * (x * sine));
  }
}

Small small(size_t n, const float* w, float low, float high, uint32_t* index) {
  size_t found = 0, below = 0, zeros = 0, i = 0;
#if defined(REWIRL_AVX512)
  const __m512 least = set1(low), most = set1(high), none = set1(0.0f);
  __m512i at = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  for (; i + 16 <= n; i += 16, at = _mm512_add_epi32(at, _mm512_set1_epi32(16))) {
    const __m512 x = _mm512_abs_ps(load(w + i));
    const __mmask16 zero = _mm512_cmp_ps_mask(x, none, _CMP_EQ_OQ), under = _mm512_cmp_ps_mask(x, least, _CMP_LT_OQ);
    const __mmask16 here = _mm512_cmp_ps_mask(x, most, _CMP_LE_OQ) & static_cast<__mmask16>(~(zero | under));
    zeros += static_cast<size_t>(__builtin_popcount(zero));
    below += static_cast<size_t>(__builtin_popcount(under & static_cast<__mmask16>(~zero)));
    if (!here) continue;
    _mm512_storeu_si512(index + found, _mm512_maskz_compress_epi32(here, at));
    found += static_cast<size_t>(__builtin_popcount(here));
  }
#elif defined(REWIRL_AVX2)
  const __m256 least = set1(low), most = set1(high), none = set1(0.0f), sign = set1(-0.0f);
  for (; i + 8 <= n; i += 8) {
    const __m256 x = _mm256_andnot_ps(sign, load(w + i));
    const __m256 zero = _mm256_cmp_ps(x, none, _CMP_EQ_OQ), under = _mm256_andnot_ps(zero, _mm256_cmp_ps(x, least, _CMP_LT_OQ));
    zeros += static_cast<size_t>(__builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(zero))));
    below += static_cast<size_t>(__builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(under))));
    const __m256 here = _mm256_andnot_ps(_mm256_or_ps(zero, under), _mm256_cmp_ps(x, most, _CMP_LE_OQ));
    for (unsigned left = static_cast<unsigned>(_mm256_movemask_ps(here)); left; left &= left - 1)  // hardly ever any
      index[found++] = static_cast<uint32_t>(i) + static_cast<uint32_t>(__builtin_ctz(left));
  }
#endif
  for (; i < n; ++i) {  // without branches: the conditions are hard to predict
    const float magnitude = __builtin_fabsf(w[i]);
    const bool zero = magnitude == 0.0f, under = magnitude < low;
    index[found] = static_cast<uint32_t>(i);
    found += !zero & !under & (magnitude <= high);
    zeros += zero;
    below += under & !zero;
  }
  return {found, below, zeros};
}

void cut(size_t n, float* w, float limit) {
  const Vec least = set1(limit);
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(w + i, at_least(load(w + i), least));
  if (i < n) store(w + i, at_least(load(w + i, n - i), least), n - i);
}

void finish4(V4 s, int row, int rows, float* y, const float* bias, bool relu) {
  for (int i = 0; i < 4 && row + i < rows; ++i) {
    const float z = s[i] + bias[row + i];
    y[row + i] = relu && !(z > 0.0f) ? 0.0f : z;
  }
}

void spmv(const SparseMatrix& a, const float* values, const float* x, float* y, const float* bias, bool relu) {
  for (int r = 0; r < a.rows; r += 4) {
    Vec acc[4] = {set1(0), set1(0), set1(0), set1(0)};
    for (int b = 0; b < a.blocks; ++b) {
      const uint32_t* start = a.start + static_cast<size_t>(b) * a.rows + r;
      const float* xb = x + static_cast<size_t>(b) * a.block;
      for (int i = 0; i < 4 && r + i < a.rows; ++i)
        acc[i] = gather_dot(values + start[i], a.column + start[i], static_cast<int>(start[i + 1] - start[i]), xb, acc[i]);
    }
    finish4(sums(acc[0], acc[1], acc[2], acc[3]), r, a.rows, y, bias, relu);
  }
}

void gemv(int rows, int columns, const float* a, const float* x, float* y, const float* bias, bool relu) {
  constexpr int M = 4;
  for (int r = 0; r < rows; r += M) {
    const float* row[M];  // beyond the last row the last again, whose sum is then not used
    for (int i = 0; i < M; ++i) row[i] = a + static_cast<size_t>(r + i < rows ? r + i : rows - 1) * columns;
    Vec acc[M] = {set1(0), set1(0), set1(0), set1(0)};
    int c = 0;
    for (; c + kWidth <= columns; c += kWidth) {
      Vec xc = load(x + c);
      keep(xc);
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) acc[i] = fma(load(row[i] + c), xc, acc[i]);
    }
    if (c < columns) {
      const size_t rest = static_cast<size_t>(columns - c);
      const Vec xc = load(x + c, rest);
      for (int i = 0; i < M; ++i) acc[i] = fma(load(row[i] + c, rest), xc, acc[i]);
    }
    finish4(sums(acc[0], acc[1], acc[2], acc[3]), r, rows, y, bias, relu);
  }
}

}  // namespace

#if defined(REWIRL_AVX512)
#define REWIRL_TABLE kernels_avx512
#define REWIRL_NAME "avx512"
#elif defined(REWIRL_AVX2)
#define REWIRL_TABLE kernels_avx2
#define REWIRL_NAME "avx2"
#else
#define REWIRL_TABLE kernels_portable
#define REWIRL_NAME "portable"
#endif

const Kernels& REWIRL_TABLE() {
  static constexpr Kernels table{REWIRL_NAME, kWidest, kWidth == 16 ? kPanelRows : 1, spmm, sddmm, gemm, dense_gradient, row_sums, adam, adam_by_age, interpolate, squash, squashed_gaussian,
                                 squashed_gaussian_gradient, normals, spmv, gemv, small, cut};
  return table;
}

}  // namespace rewirl
