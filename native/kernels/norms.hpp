// Norms: layer norm over the features of each sample, batch norm over the samples of each feature; rows of unit norm.
#pragma once
#include "kernels/kernels.hpp"
#include "kernels/tiles.hpp"
#include "kernels/vec.hpp"

namespace rewirl {
namespace {

// Layer norm of N vectors of samples. Their sums over the features stay in registers.
template <int N>
void layer_norm_columns(const LayerNormTile& t, const float* x, float* y, float* mean_out, float* inverse_out,
                        bool rectify) {
  const size_t width = static_cast<size_t>(t.vectors) * kLane;
  const Vec share = set1(1.0f / static_cast<float>(t.features));
  Vec mean[N], inverse[N];
  for (int v = 0; v < N; ++v) mean[v] = inverse[v] = set1(0.0f);
  for (int f = 0; f < t.features; ++f) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) mean[v] = mean[v] + load(x + f * width + v * kWidth);
  }
  for (int v = 0; v < N; ++v) mean[v] = mean[v] * share;
  for (int f = 0; f < t.features; ++f) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      const Vec away = load(x + f * width + v * kWidth) - mean[v];
      inverse[v] = fma(away, away, inverse[v]);
    }
  }
  for (int v = 0; v < N; ++v) {
    inverse[v] = divide(set1(1.0f), sqrt(fma(inverse[v], share, set1(t.epsilon))));
    store(mean_out + v * kWidth, mean[v]);
    store(inverse_out + v * kWidth, inverse[v]);
  }
  for (int f = 0; f < t.features; ++f) {
    const Vec scale = set1(t.scale ? t.scale[f] : 1.0f), shift = set1(t.shift ? t.shift[f] : 0.0f);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      const Vec out = fma(scale, (load(x + f * width + v * kWidth) - mean[v]) * inverse[v], shift);
      store(y + f * width + v * kWidth, rectify ? relu(out) : out);
    }
  }
}

// With g = scale * dy and h the normalised x: dx = (g - mean(g) - h * mean(g * h)) * inverse, over the features.
template <int N>
void layer_norm_gradient_columns(const LayerNormTile& t, const float* x, const float* dy, const float* mean_of,
                                 const float* inverse_of, float* dx, bool accumulate) {
  const size_t width = static_cast<size_t>(t.vectors) * kLane;
  const Vec share = set1(1.0f / static_cast<float>(t.features));
  Vec sum[N], product[N], mean[N], inverse[N];
  for (int v = 0; v < N; ++v) {
    sum[v] = product[v] = set1(0.0f);
    mean[v] = load(mean_of + v * kWidth);
    inverse[v] = load(inverse_of + v * kWidth);
  }
  for (int f = 0; f < t.features; ++f) {
    const Vec scale = set1(t.scale ? t.scale[f] : 1.0f);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      const Vec g = scale * load(dy + f * width + v * kWidth);
      sum[v] = sum[v] + g;
      product[v] = fma(g, load(x + f * width + v * kWidth) - mean[v], product[v]);
    }
  }
  for (int v = 0; v < N; ++v) {
    sum[v] = sum[v] * share;
    product[v] = product[v] * inverse[v] * inverse[v] * share;  // times (x - mean) it is h * mean(g * h)
  }
  for (int f = 0; f < t.features; ++f) {
    const Vec scale = set1(t.scale ? t.scale[f] : 1.0f);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      const size_t at = f * width + v * kWidth;
      const Vec away = load(x + at) - mean[v];
      const Vec own = (fma(scale, load(dy + at), -sum[v]) - away * product[v]) * inverse[v];
      store(dx + at, accumulate ? load(dx + at) + own : own);
    }
  }
}

// Calls visit(column, N) for groups of at most 4 vectors of a tile.
#define REWIRL_FOR_COLUMNS(t, CALL)                                                               \
  for (int column = 0, left = (t).vectors * kPasses; left > 0; column += 4 * kWidth, left -= 4) { \
    switch (left) {                                                                               \
      case 1: CALL(1); break;                                                                     \
      case 2: CALL(2); break;                                                                     \
      case 3: CALL(3); break;                                                                     \
      default: CALL(4); break;                                                                    \
    }                                                                                             \
  }

void layer_norm(const LayerNormTile& t, const float* x, float* y, float* mean, float* inverse, bool rectify) {
#define REWIRL_CALL(N) layer_norm_columns<N>(t, x + column, y + column, mean + column, inverse + column, rectify)
  REWIRL_FOR_COLUMNS(t, REWIRL_CALL)
#undef REWIRL_CALL
}

void layer_norm_gradient(const LayerNormTile& t, const float* x, const float* dy, const float* mean,
                         const float* inverse, float* dx, bool accumulate) {
#define REWIRL_CALL(N) \
  layer_norm_gradient_columns<N>(t, x + column, dy + column, mean + column, inverse + column, dx + column, accumulate)
  REWIRL_FOR_COLUMNS(t, REWIRL_CALL)
#undef REWIRL_CALL
}
#undef REWIRL_FOR_COLUMNS

void layer_norm_parameters(const LayerNormTile& t, const float* x, const float* dy, const float* mean,
                           const float* inverse, float* d_scale, float* d_shift, bool accumulate) {
  const size_t width = static_cast<size_t>(t.vectors) * kLane;
  for (int f = 0; f < t.features; ++f) {
    Vec products = set1(0.0f), sum = set1(0.0f);
    for (size_t s = 0; s < width; s += kWidth) {
      const Vec d = load(dy + f * width + s);
      products = fma(d, (load(x + f * width + s) - load(mean + s)) * load(inverse + s), products);
      sum = sum + d;
    }
    const V4 both = sums(products, sum, set1(0.0f), set1(0.0f));
    d_scale[f] = accumulate ? d_scale[f] + both[0] : both[0];
    d_shift[f] = accumulate ? d_shift[f] + both[1] : both[1];
  }
}

// The first n of kWidth lanes are 1, the others 0; n < kWidth.
REWIRL_INLINE Vec first_lanes(size_t n) {
  float ones[kWidth];
  for (int i = 0; i < kWidth; ++i) ones[i] = 1.0f;
  return load(ones, n);
}

// Two passes over what the first-level cache holds: the sum of squares about the mean cancels nothing.
void row_moments(const BatchRow& row, const float* x, ptrdiff_t stride, float* mean, float* variance) {
  Vec sum[4] = {set1(0), set1(0), set1(0), set1(0)}, square[4] = {set1(0), set1(0), set1(0), set1(0)};
  const float share = 1.0f / static_cast<float>(row.total);
  for (int t = 0; t < row.tiles; ++t) {
    const float* at = x + t * stride;
    const size_t n = static_cast<size_t>(row.samples[t]);
    size_t s = 0;
    for (; s + 4 * kWidth <= n; s += 4 * kWidth) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) sum[v] = sum[v] + load(at + s + v * kWidth);
    }
    for (; s + kWidth <= n; s += kWidth) sum[0] = sum[0] + load(at + s);
    if (s < n) sum[1] = sum[1] + load(at + s, n - s);
  }
  *mean = total((sum[0] + sum[1]) + (sum[2] + sum[3])) * share;
  const Vec center = set1(*mean);
  for (int t = 0; t < row.tiles; ++t) {
    const float* at = x + t * stride;
    const size_t n = static_cast<size_t>(row.samples[t]);
    size_t s = 0;
    for (; s + 4 * kWidth <= n; s += 4 * kWidth) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const Vec away = load(at + s + v * kWidth) - center;
        square[v] = fma(away, away, square[v]);
      }
    }
    for (; s + kWidth <= n; s += kWidth) {
      const Vec away = load(at + s) - center;
      square[0] = fma(away, away, square[0]);
    }
    if (s < n) {
      const Vec away = (load(at + s, n - s) - center) * first_lanes(n - s);
      square[1] = fma(away, away, square[1]);
    }
  }
  *variance = total((square[0] + square[1]) + (square[2] + square[3])) * share;
}

void row_line(const BatchRow& row, const float* x, ptrdiff_t x_stride, float* y, ptrdiff_t y_stride,
              const RowLine& line, bool rectify) {
  const Vec mean = set1(line.mean), slope = set1(line.slope), offset = set1(line.offset);
  const size_t width = static_cast<size_t>(row.vectors) * kLane;
  for (int t = 0; t < row.tiles; ++t) {
    const float* from = x + t * x_stride;
    float* to = y + t * y_stride;
    if (rectify)
      for (size_t s = 0; s < width; s += kWidth) store(to + s, relu(fma(load(from + s) - mean, slope, offset)));
    else
      for (size_t s = 0; s < width; s += kWidth) store(to + s, fma(load(from + s) - mean, slope, offset));
  }
}

void row_products(const BatchRow& row, const float* x, ptrdiff_t x_stride, const float* dy, ptrdiff_t dy_stride,
                  float mean, float* sum, float* product) {
  Vec sums_of[2] = {set1(0), set1(0)}, products[2] = {set1(0), set1(0)};
  const Vec center = set1(mean);
  for (int t = 0; t < row.tiles; ++t) {
    const float *at = x + t * x_stride, *d = dy + t * dy_stride;
    const size_t n = static_cast<size_t>(row.samples[t]);
    size_t s = 0;
    for (; s + 2 * kWidth <= n; s += 2 * kWidth) {
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const Vec g = load(d + s + v * kWidth);
        sums_of[v] = sums_of[v] + g;
        products[v] = fma(g, load(at + s + v * kWidth) - center, products[v]);
      }
    }
    for (; s < n; s += kWidth) {
      const bool whole = s + kWidth <= n;
      const Vec g = whole ? load(d + s) : load(d + s, n - s), here = whole ? load(at + s) : load(at + s, n - s);
      sums_of[0] = sums_of[0] + g;
      products[0] = fma(g, here - center, products[0]);
    }
  }
  const V4 both = sums(sums_of[0] + sums_of[1], products[0] + products[1], set1(0.0f), set1(0.0f));
  *sum = both[0];
  *product = both[1];
}

void row_gradient(const BatchRow& row, const float* x, ptrdiff_t x_stride, const float* dy, ptrdiff_t dy_stride,
                  float* dx, const RowLine& line, float factor, bool accumulate) {
  const Vec mean = set1(line.mean), slope = set1(line.slope), offset = set1(line.offset), of_dy = set1(factor);
  const size_t width = static_cast<size_t>(row.vectors) * kLane;
  for (int t = 0; t < row.tiles; ++t) {
    const float *at = x + t * x_stride, *d = dy + t * dy_stride;
    float* to = dx + t * dy_stride;
    const size_t n = static_cast<size_t>(row.samples[t]);
    size_t s = 0;
    if (accumulate)
      for (; s + kWidth <= n; s += kWidth)
        store(to + s, load(to + s) + (fma(load(d + s), of_dy, offset) + (load(at + s) - mean) * slope));
    else
      for (; s + kWidth <= n; s += kWidth)
        store(to + s, fma(load(d + s), of_dy, offset) + (load(at + s) - mean) * slope);
    for (; s < width; s += kWidth) {  // padding has no part in anything
      Vec own = set1(0.0f);
      if (s < n)
        own = (fma(load(d + s, n - s), of_dy, offset) + (load(at + s, n - s) - mean) * slope) * first_lanes(n - s);
      store(to + s, accumulate ? load(to + s) + own : own);
    }
  }
}

void unit_rows(int rows, int columns, float* w) {
  for (int r = 0; r < rows; ++r, w += columns) {
    Vec sum[2] = {set1(0), set1(0)};
    const size_t n = static_cast<size_t>(columns);
    size_t c = 0;
    for (; c + 2 * kWidth <= n; c += 2 * kWidth) {
      const Vec a = load(w + c), b = load(w + c + kWidth);
      sum[0] = fma(a, a, sum[0]);
      sum[1] = fma(b, b, sum[1]);
    }
    for (; c + kWidth <= n; c += kWidth) sum[0] = fma(load(w + c), load(w + c), sum[0]);
    if (c < n) sum[1] = fma(load(w + c, n - c), load(w + c, n - c), sum[1]);
    const float square = total(sum[0] + sum[1]);
    if (!(square > 0.0f)) continue;
    const Vec factor = set1(1.0f / __builtin_sqrtf(square));
    for (c = 0; c + kWidth <= n; c += kWidth) store(w + c, load(w + c) * factor);
    if (c < n) store(w + c, load(w + c, n - c) * factor, n - c);
  }
}

// Softmax over the rows of a tile, and the mean of what the rows stand for: low, low + step, ...
void categorical(int rows, int vectors, const float* logits, float low, float step, float* probability, float* mean) {
  const size_t width = static_cast<size_t>(vectors) * kLane;
  for (size_t s = 0; s < width; s += kWidth) {
    Vec most = load(logits + s), sum = set1(0.0f), weighted = set1(0.0f);
    for (int r = 1; r < rows; ++r) most = clamp(load(logits + r * width + s), most, set1(__builtin_inff()));
    for (int r = 0; r < rows; ++r) {
      const Vec p = exp_of(load(logits + r * width + s) - most);
      store(probability + r * width + s, p);
      sum = sum + p;
      weighted = fma(p, set1(low + step * static_cast<float>(r)), weighted);
    }
    const Vec inverse = divide(set1(1.0f), sum);
    for (int r = 0; r < rows; ++r) store(probability + r * width + s, load(probability + r * width + s) * inverse);
    store(mean + s, weighted * inverse);
  }
}

}  // namespace
}  // namespace rewirl
