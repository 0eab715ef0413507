// The same with dense matrices, blocked for registers, and sums of rows.
#pragma once
#include "kernels/sparse.hpp"  // for the dots of a single row

namespace rewirl {
namespace {

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
      acc[i][j] =
          g.first ? set1(g.bias ? g.bias[row + i] : 0.0f) : load(y + static_cast<size_t>(i) * g.width + j * kWidth);
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

// Of a few rows. Whatever the shape of the accumulators, every number is summed in the same order.
void gemm_low(int rows, int depth, const float* a, ptrdiff_t row_stride, ptrdiff_t k_stride, const float* x, float* y,
              int vectors, const float* bias, Epilogue epilogue, const float* gates) {
  const int width = kLane * vectors;
  // A block of x stays in the first-level cache; a strided operand touches a cache line per step, so fewer steps fit.
  const int step = k_stride == 1 ? 64 : 32;
  for (int k = 0; k < depth; k += step) {
    const int here = depth - k < step ? depth - k : step;
    const Gemm g{
        a + k * k_stride, row_stride,        k_stride, x + static_cast<size_t>(k) * width, y, width, here, bias, gates,
        k == 0,           k + here == depth, epilogue};
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

// With many rows few vectors of samples at a time: what is loaded of x serves more rows, and more of its depth stays in
// the first-level cache.
constexpr int kTallRows = kWidth == 16 ? 8 : 6, kTallVectors = kWidth == 16 ? 3 : 2;

// A strided operand would touch a cache line per step, whose sets collide where strides are powers of two. So panels of
// it are copied: as many rows as fill a cache line, for so much of the depth. With 16 registers that does not pay.
constexpr int kPanelOfRows = kWidth == 16 ? 16 : 24, kPanelDepth = 256;
constexpr bool kCopiesPanels = kWidth == 16;

void gemm_panel(const Gemm& g, int rows) {
  const int all = g.width / kWidth;
  int done = 0;
  for (int passes = (all + kTallVectors - 1) / kTallVectors; passes > 0; --passes) {
    const int here = (all - done + passes - 1) / passes, offset = done * kWidth;
    switch (here) {
      case 1: gemm_rows<kTallRows, 1>(g, rows, offset); break;
      case 2: gemm_rows<kTallRows, 2>(g, rows, offset); break;
      default: gemm_rows<kTallRows, kTallVectors>(g, rows, offset); break;
    }
    done += here;
  }
}

void gemm_tall(int rows, int depth, const float* a, ptrdiff_t row_stride, ptrdiff_t k_stride, const float* x, float* y,
               int vectors, const float* bias, Epilogue epilogue, const float* gates) {
  const ptrdiff_t width = ptrdiff_t{kLane} * vectors;
  const bool strided = k_stride != 1;  // then rows are side by side
  const int step = strided || kWidth < 16 ? kPanelDepth : 4 * kPanelDepth;
  alignas(64) float panel[kCopiesPanels ? kPanelDepth * kPanelOfRows : 1];
  for (int k = 0; k < depth; k += step) {
    const int here = depth - k < step ? depth - k : step;
    for (int row = 0; row < rows; row += kPanelOfRows) {
      const int high = rows - row < kPanelOfRows ? rows - row : kPanelOfRows;
      const float* from = a + row * row_stride + k * k_stride;
      Gemm g{from,
             row_stride,
             k_stride,
             x + k * width,
             y + row * width,
             static_cast<int>(width),
             here,
             bias ? bias + row : nullptr,
             gates ? gates + row * width : nullptr,
             k == 0,
             k + here == depth,
             epilogue};
      if (kCopiesPanels && strided) {
        for (int j = 0; j < here; ++j) {
          const float* at = from + j * k_stride;
          float* to = panel + j * kPanelOfRows;
          int r = 0;
          for (; r + kWidth <= high; r += kWidth) store(to + r, load(at + r));
          for (; r < high; ++r) to[r] = at[r];
        }
        g.a = panel;
        g.row_stride = 1;
        g.k_stride = kPanelOfRows;
      }
      gemm_panel(g, high);
    }
  }
}

void gemm(int rows, int depth, const float* a, ptrdiff_t row_stride, ptrdiff_t k_stride, const float* x, float* y,
          int vectors, const float* bias, Epilogue epilogue, const float* gates) {
  const int tall = kCopiesPanels || k_stride == 1 ? rows / kTallRows * kTallRows : 0;
  const ptrdiff_t below = ptrdiff_t{kLane} * vectors * tall;
  if (tall > 0) gemm_tall(tall, depth, a, row_stride, k_stride, x, y, vectors, bias, epilogue, gates);
  if (tall < rows)
    gemm_low(rows - tall, depth, a + tall * row_stride, row_stride, k_stride, x, y + below, vectors,
             bias ? bias + tall : nullptr, epilogue, gates ? gates + below : nullptr);
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
    sddmm_group<1, T, 1>(Rows<1, T>(d, 1), row, static_cast<size_t>(begin), static_cast<size_t>(end), out, accumulate);
  }
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
      for (; row < n_out; ++row) gradient_tile<1, NV>(W, row, dy, panel, offset, valid, gradient + c, n_in, accumulate);
    }
  }
}

void row_sums(int rows, const float* dy, float* out, int vectors, bool accumulate) {
  const int n = vectors * kPasses;
  for (int r = 0; r < rows; ++r) {
    const float* d = dy + static_cast<size_t>(r) * n * kWidth;
    Vec s = load(d);
    for (int t = 1; t < n; ++t) s += load(d + t * kWidth);
    out[r] = accumulate ? out[r] + total(s) : total(s);
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
}  // namespace rewirl
