// Adam, the soft update of targets, and what cuts small weights: straight lines over arrays.
#pragma once
#include "kernels/kernels.hpp"
#include "kernels/vec.hpp"

namespace rewirl {
namespace {

struct Moved {
  Vec weight, first, second;
};

REWIRL_INLINE Moved adam_vector(Vec weight, Vec g, Vec m, Vec v, const AdamStep& s, Vec step_size,
                                Vec inverse_root_c2) {
  const Vec gradient = fma(set1(s.weight_decay), weight, g);
  const Vec first = fma(set1(1.0f - s.beta1), gradient, set1(s.beta1) * m);
  const Vec second = fma(set1(1.0f - s.beta2), gradient * gradient, set1(s.beta2) * v);
  return {weight - divide(step_size * first, fma(sqrt(second), inverse_root_c2, set1(s.epsilon))), first, second};
}

void adam(size_t n, float* w, const float* g, float* m, float* v, const AdamStep& step) {
  const Vec step_size = set1(step.step_size), inverse_root_c2 = set1(step.inverse_root_c2);
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const Moved moved =
        adam_vector(load(w + i), load(g + i), load(m + i), load(v + i), step, step_size, inverse_root_c2);
    store(w + i, moved.weight);
    store(m + i, moved.first);
    store(v + i, moved.second);
  }
  if (i == n) return;
  const size_t rest = n - i;
  const Moved moved = adam_vector(load(w + i, rest), load(g + i, rest), load(m + i, rest), load(v + i, rest), step,
                                  step_size, inverse_root_c2);
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
      const Moved moved =
          adam_vector(load(w + i), load(g + i), load(m + i), load(v + i), step, load(sizes), load(roots));
      store(w + i, moved.weight);
      store(m + i, moved.first);
      store(v + i, moved.second);
    } else {
      const Moved moved = adam_vector(load(w + i, here), load(g + i, here), load(m + i, here), load(v + i, here), step,
                                      load(sizes), load(roots));
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
    const __m256 zero = _mm256_cmp_ps(x, none, _CMP_EQ_OQ),
                 under = _mm256_andnot_ps(zero, _mm256_cmp_ps(x, least, _CMP_LT_OQ));
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

}  // namespace
}  // namespace rewirl
