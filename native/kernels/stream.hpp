// Learning from one sample at a time: products of a matrix and a vector, and eligibility traces.
#pragma once
#include "kernels/kernels.hpp"
#include "kernels/tiles.hpp"
#include "kernels/vec.hpp"

namespace rewirl {
namespace {

// The part of a vector of n numbers from c on, 0 beyond its end.
REWIRL_INLINE Vec part_of(const float* x, int c, int n) {
  return c + kWidth <= n ? load(x + c) : load(x + c, static_cast<size_t>(n - c));
}

REWIRL_INLINE void add_to(float* x, int c, int n, Vec what) {
  if (c + kWidth <= n)
    store(x + c, load(x + c) + what);
  else
    store(x + c, load(x + c, static_cast<size_t>(n - c)) + what, static_cast<size_t>(n - c));
}

void gemv_transposed(int rows, int columns, const float* a, const float* dy, float* dx) {
  constexpr int M = 4;
  for (int r = 0; r < rows; r += M) {
    const float* row[M];  // beyond the last row the last again, times 0
    Vec d[M];
    for (int i = 0; i < M; ++i) {
      row[i] = a + static_cast<size_t>(r + i < rows ? r + i : rows - 1) * columns;
      d[i] = set1(r + i < rows ? dy[r + i] : 0.0f);
    }
    for (int c = 0; c < columns; c += kWidth) {
      Vec sum = set1(0.0f);
      for (int i = 0; i < M; ++i) sum = fma(d[i], part_of(row[i], c, columns), sum);
      add_to(dx, c, columns, sum);
    }
  }
}

float trace(int rows, int columns, const float* dy, const float* x, float decay, float* z) {
  const Vec faded = set1(decay);
  Vec sum = set1(0.0f);
  for (int r = 0; r < rows; ++r, z += columns) {
    const Vec d = set1(dy[r]);
    int c = 0;
    for (; c + kWidth <= columns; c += kWidth) {
      const Vec now = fma(d, load(x + c), faded * load(z + c));
      store(z + c, now);
      sum = sum + magnitude(now);
    }
    if (c == columns) continue;
    const size_t rest = static_cast<size_t>(columns - c);
    const Vec now = fma(d, load(x + c, rest), faded * load(z + c, rest));
    store(z + c, now, rest);
    sum = sum + magnitude(now);
  }
  return total(sum);
}

void add_scaled(size_t n, float scale, const float* z, float* w) {
  const Vec s = set1(scale);
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(w + i, fma(s, load(z + i), load(w + i)));
  if (i < n) store(w + i, fma(s, load(z + i, n - i), load(w + i, n - i)), n - i);
}

// The connections of a row among columns [c, c + kWidth).
REWIRL_INLINE unsigned bits_of(const MaskedRows& a, int row, int c) {
  const unsigned all = a.mask[static_cast<size_t>(row) * a.words() + c / 16];
  return all >> (c % 16) & ((1u << kWidth) - 1u);
}

void masked_gemv(const MaskedRows& a, const float* values, const float* x, float* y, const float* bias, bool relu) {
  constexpr int M = 4;
  for (int r = 0; r < a.rows; r += M) {
    const float* at[M];
    int row[M];
    for (int i = 0; i < M; ++i) {
      row[i] = r + i < a.rows ? r + i : a.rows - 1;
      at[i] = values + a.start[row[i]];
    }
    Vec acc[M] = {set1(0), set1(0), set1(0), set1(0)};
    for (int c = 0; c < a.columns; c += kWidth) {
      Vec xc = part_of(x, c, a.columns);
      keep(xc);
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) {
        const unsigned bits = bits_of(a, row[i], c);
        acc[i] = fma(expand(at[i], bits), xc, acc[i]);
        at[i] += __builtin_popcount(bits);
      }
    }
    finish4(sums(acc[0], acc[1], acc[2], acc[3]), r, a.rows, y, bias, relu);
  }
}

void masked_transposed(const MaskedRows& a, const float* values, const float* dy, float* dx) {
  constexpr int M = 4;
  for (int r = 0; r < a.rows; r += M) {
    const float* at[M];
    int row[M];
    Vec d[M];
    for (int i = 0; i < M; ++i) {
      row[i] = r + i < a.rows ? r + i : a.rows - 1;
      at[i] = values + a.start[row[i]];
      d[i] = set1(r + i < a.rows ? dy[r + i] : 0.0f);
    }
    for (int c = 0; c < a.columns; c += kWidth) {
      Vec sum = set1(0.0f);
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) {
        const unsigned bits = bits_of(a, row[i], c);
        sum = fma(d[i], expand(at[i], bits), sum);
        at[i] += __builtin_popcount(bits);
      }
      add_to(dx, c, a.columns, sum);
    }
  }
}

// The inputs of some columns of a row are packed first, and then meet its traces: a trace that is loaded next to one
// that has just been stored in part waits for it, some twenty cycles each time.
float masked_trace(const MaskedRows& a, const float* dy, const float* x, float decay, float* z) {
  constexpr int kColumns = 512;
  const Vec faded = set1(decay);
  Vec sum = set1(0.0f);
  float packed[kColumns + kWidth];
  for (int r = 0; r < a.rows; ++r) {
    const Vec d = set1(dy[r]);
    float* at = z + a.start[r];
    for (int begin = 0; begin < a.columns; begin += kColumns) {
      const int end = begin + kColumns < a.columns ? begin + kColumns : a.columns;
      size_t count = 0;
      for (int c = begin; c < end; c += kWidth) {
        const unsigned bits = bits_of(a, r, c);
        store(packed + count, squeeze(part_of(x, c, a.columns), bits));
        count += static_cast<size_t>(__builtin_popcount(bits));
      }
      size_t k = 0;
      for (; k + kWidth <= count; k += kWidth) {
        const Vec now = fma(d, load(packed + k), faded * load(at + k));
        store(at + k, now);
        sum = sum + magnitude(now);
      }
      if (k < count) {
        const Vec now = fma(d, load(packed + k, count - k), faded * load(at + k, count - k));
        store(at + k, now, count - k);
        sum = sum + magnitude(now);
      }
      at += count;
    }
  }
  return total(sum);
}

}  // namespace
}  // namespace rewirl
