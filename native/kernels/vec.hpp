// A thin vector type per instruction set; kernels.cpp is compiled once with each.
// Everything is static: a function compiled for AVX-512 must never be shared with code that runs elsewhere.
#pragma once
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <cstddef>
#include <cstdint>

#define REWIRL_INLINE static inline __attribute__((always_inline))

typedef float V4 __attribute__((vector_size(16)));
typedef float V4u __attribute__((vector_size(16), aligned(4), may_alias));

REWIRL_INLINE V4 load4(const float* p) { return *reinterpret_cast<const V4u*>(p); }
REWIRL_INLINE void store4(float* p, V4 x) { *reinterpret_cast<V4u*>(p) = x; }

struct Square {
  V4 row[4];
};
REWIRL_INLINE Square transposed(V4 r0, V4 r1, V4 r2, V4 r3) {
  const V4 a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), b = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
  const V4 c = __builtin_shufflevector(r2, r3, 0, 4, 1, 5), d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
  return {{__builtin_shufflevector(a, c, 0, 1, 4, 5), __builtin_shufflevector(a, c, 2, 3, 6, 7),
           __builtin_shufflevector(b, d, 0, 1, 4, 5), __builtin_shufflevector(b, d, 2, 3, 6, 7)}};
}

#if defined(REWIRL_AVX512)

using Vec = __m512;
constexpr int kWidth = 16;
constexpr int kGemmVectors = 7;  // 32 registers: 3 x 7 or 6 x 4 accumulators
REWIRL_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
REWIRL_INLINE void store(float* p, Vec x) { _mm512_storeu_ps(p, x); }
REWIRL_INLINE Vec set1(float x) { return _mm512_set1_ps(x); }
REWIRL_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
// Estimates refined by a step of Newton: within 2 units in the last place, at a third of the time of the exact
// instructions.
REWIRL_INLINE Vec sqrt(Vec x) {  // of x >= 0; infinity stays, whose estimate 0 times itself would be NaN
  const Vec r = _mm512_maskz_rsqrt14_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), x);
  const Vec refined = r * _mm512_fnmadd_ps(x * r, r * _mm512_set1_ps(0.5f), _mm512_set1_ps(1.5f));
  return _mm512_mask_mul_ps(x, _mm512_cmp_ps_mask(x, _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ), x, refined);
}
REWIRL_INLINE Vec divide(Vec a, Vec b) {  // an estimate of 0 stays: that of infinity is exact
  const Vec r = _mm512_rcp14_ps(b), refinement = _mm512_fnmadd_ps(b, r, _mm512_set1_ps(2.0f));
  return a * _mm512_mask_mul_ps(r, _mm512_cmp_ps_mask(r, _mm512_setzero_ps(), _CMP_NEQ_UQ), r, refinement);
}
REWIRL_INLINE Vec clamp(Vec x, Vec low, Vec high) {  // NaN stays: max and min return their second operand then
  return _mm512_mask_mov_ps(_mm512_min_ps(_mm512_max_ps(x, low), high), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}
REWIRL_INLINE Vec at_least(Vec x, Vec limit) {  // x where |x| >= limit, else 0; NaN stays
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(_mm512_abs_ps(x), limit, _CMP_NLT_UQ), x);
}
REWIRL_INLINE Vec gate(Vec h, Vec x) {  // x where h > 0 or h is NaN, else 0
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(h, _mm512_setzero_ps(), _CMP_NLE_UQ), x);
}
// Within each 128-bit lane: sums of pairs, interleaved.
REWIRL_INLINE Vec pairs(Vec a, Vec b) { return _mm512_unpacklo_ps(a, b) + _mm512_unpackhi_ps(a, b); }
REWIRL_INLINE Vec quads(Vec a, Vec b) {
  return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))) +
         _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
REWIRL_INLINE V4 fold(Vec x) {  // sum of the 128-bit lanes
  const __m256 half = _mm512_castps512_ps256(x) + _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
  return V4(_mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1));
}
// sum over k < n of values[k] * x[column[k]], added to acc lane by lane
REWIRL_INLINE Vec gather_dot(const float* values, const uint16_t* column, int n, const float* x, Vec acc) {
  int k = 0;
  for (; k + 16 <= n; k += 16) {
    const __m512i i = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(column + k)));
    acc = fma(load(values + k), _mm512_i32gather_ps(i, x, 4), acc);
  }
  if (k < n) {
    const __mmask16 tail = static_cast<__mmask16>((1u << (n - k)) - 1u);
    const __m512i i = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(tail, column + k));
    const __m512 g = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), tail, i, x, 4);
    acc = fma(_mm512_maskz_loadu_ps(tail, values + k), g, acc);
  }
  return acc;
}
// The first n < kWidth elements; the others are zero, or left alone.
REWIRL_INLINE Vec load(const float* p, size_t n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
}
REWIRL_INLINE void store(float* p, Vec x, size_t n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), x);
}

REWIRL_INLINE Vec magnitude(Vec x) { return _mm512_abs_ps(x); }
// The next numbers of p in the lanes of this mask, 0 in the others; and the lanes of a mask one after the other.
REWIRL_INLINE Vec expand(const float* p, unsigned mask) {
  const unsigned first = (1u << __builtin_popcount(mask)) - 1u;
  return _mm512_maskz_expand_ps(static_cast<__mmask16>(mask), _mm512_maskz_loadu_ps(static_cast<__mmask16>(first), p));
}
REWIRL_INLINE Vec squeeze(Vec x, unsigned mask) { return _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), x); }

#elif defined(REWIRL_AVX2)

using Vec = __m256;
constexpr int kWidth = 8;
constexpr int kGemmVectors = 2;  // 16 registers: 6 x 2 accumulators
REWIRL_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
REWIRL_INLINE void store(float* p, Vec x) { _mm256_storeu_ps(p, x); }
REWIRL_INLINE Vec set1(float x) { return _mm256_set1_ps(x); }
REWIRL_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
REWIRL_INLINE Vec sqrt(Vec x) { return _mm256_sqrt_ps(x); }
REWIRL_INLINE Vec divide(Vec a, Vec b) { return a / b; }
REWIRL_INLINE Vec clamp(Vec x, Vec low, Vec high) {  // NaN stays: max and min return their second operand then
  return _mm256_blendv_ps(_mm256_min_ps(_mm256_max_ps(x, low), high), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}
REWIRL_INLINE Vec at_least(Vec x, Vec limit) {  // x where |x| >= limit, else 0; NaN stays
  return _mm256_and_ps(_mm256_cmp_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x), limit, _CMP_NLT_UQ), x);
}
REWIRL_INLINE Vec gate(Vec h, Vec x) {  // x where h > 0 or h is NaN, else 0
  return _mm256_and_ps(_mm256_cmp_ps(h, _mm256_setzero_ps(), _CMP_NLE_UQ), x);
}
REWIRL_INLINE Vec pairs(Vec a, Vec b) { return _mm256_unpacklo_ps(a, b) + _mm256_unpackhi_ps(a, b); }
REWIRL_INLINE Vec quads(Vec a, Vec b) {
  return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b))) +
         _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}
REWIRL_INLINE V4 fold(Vec x) { return V4(_mm256_castps256_ps128(x) + _mm256_extractf128_ps(x, 1)); }
REWIRL_INLINE Vec gather_dot(const float* values, const uint16_t* column, int n, const float* x, Vec acc) {
  int k = 0;
  for (; k + 8 <= n; k += 8) {
    const __m256i i = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(column + k)));
    acc = fma(load(values + k), _mm256_i32gather_ps(x, i, 4), acc);
  }
  float rest = 0.0f;
  for (; k < n; ++k) rest += values[k] * x[column[k]];
  return acc + _mm256_set_ps(0, 0, 0, 0, 0, 0, 0, rest);
}
REWIRL_INLINE __m256i first_of_8(size_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
REWIRL_INLINE Vec load(const float* p, size_t n) { return _mm256_maskload_ps(p, first_of_8(n)); }
REWIRL_INLINE void store(float* p, Vec x, size_t n) { _mm256_maskstore_ps(p, first_of_8(n), x); }

REWIRL_INLINE Vec magnitude(Vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
// For each mask of 8 lanes, a byte per lane: which of the packed numbers it gets, 8 and more where it gets none; and
// which lane the packed number is of.
struct LaneTables {
  uint64_t expand[256], squeeze[256];
};
static constexpr LaneTables lane_tables() {
  LaneTables t{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    unsigned n = 0;
    for (unsigned lane = 0; lane < 8; ++lane) {
      if (mask >> lane & 1) {
        t.expand[mask] |= uint64_t{n} << (8 * lane);
        t.squeeze[mask] |= uint64_t{lane} << (8 * n++);
      } else {
        t.expand[mask] |= uint64_t{0x80} << (8 * lane);
      }
    }
    for (; n < 8; ++n) t.squeeze[mask] |= uint64_t{0x80} << (8 * n);
  }
  return t;
}
static constexpr LaneTables kLanes = lane_tables();
// Lanes by such a table; those that get none are 0.
REWIRL_INLINE Vec by_lanes(Vec x, uint64_t table) {
  const __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(table)));
  const __m256i none = _mm256_cmpgt_epi32(lanes, _mm256_set1_epi32(7));
  return _mm256_andnot_ps(_mm256_castsi256_ps(none), _mm256_permutevar8x32_ps(x, lanes));
}
REWIRL_INLINE Vec expand(const float* p, unsigned mask) {
  return by_lanes(load(p, static_cast<size_t>(__builtin_popcount(mask))), kLanes.expand[mask]);
}
REWIRL_INLINE Vec squeeze(Vec x, unsigned mask) { return by_lanes(x, kLanes.squeeze[mask]); }

#else  // portable: four floats; SSE2 on x86-64, NEON on AArch64

using Vec = V4;
constexpr int kWidth = 4;
constexpr int kGemmVectors = 2;
typedef int32_t I4 __attribute__((vector_size(16)));
REWIRL_INLINE Vec load(const float* p) { return load4(p); }
REWIRL_INLINE void store(float* p, Vec x) { store4(p, x); }
REWIRL_INLINE Vec set1(float x) { return Vec{x, x, x, x}; }
REWIRL_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
REWIRL_INLINE Vec sqrt(Vec x) {
  return Vec{__builtin_sqrtf(x[0]), __builtin_sqrtf(x[1]), __builtin_sqrtf(x[2]), __builtin_sqrtf(x[3])};
}
REWIRL_INLINE Vec divide(Vec a, Vec b) { return a / b; }
REWIRL_INLINE Vec clamp(Vec x, Vec low, Vec high) {
  const I4 below = (I4)(x < low), above = (I4)(x > high);
  return (Vec)((below & (I4)low) | (above & (I4)high) | (~(below | above) & (I4)x));
}
REWIRL_INLINE Vec at_least(Vec x, Vec limit) {  // x where |x| >= limit, else 0; NaN stays
  const Vec magnitude = (Vec)((I4)x & 0x7fffffff);
  return (Vec)(~(I4)(magnitude < limit) & (I4)x);
}
REWIRL_INLINE Vec gate(Vec h, Vec x) { return (Vec)(~(I4)(h <= Vec{}) & (I4)x); }  // x where h > 0 or h is NaN, else 0
REWIRL_INLINE Vec pairs(Vec a, Vec b) {
  return __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
}
REWIRL_INLINE Vec quads(Vec a, Vec b) {
  return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
}
REWIRL_INLINE V4 fold(Vec x) { return x; }
REWIRL_INLINE Vec gather_dot(const float* values, const uint16_t* column, int n, const float* x, Vec acc) {
  int k = 0;
  for (; k + 4 <= n; k += 4)
    acc += load(values + k) * Vec{x[column[k]], x[column[k + 1]], x[column[k + 2]], x[column[k + 3]]};
  for (; k < n; ++k) acc[0] += values[k] * x[column[k]];
  return acc;
}
REWIRL_INLINE Vec load(const float* p, size_t n) {
  return Vec{n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
}
REWIRL_INLINE void store(float* p, Vec x, size_t n) {
  for (size_t i = 0; i < n; ++i) p[i] = x[i];
}
REWIRL_INLINE Vec magnitude(Vec x) { return (Vec)((I4)x & 0x7fffffff); }
REWIRL_INLINE Vec expand(const float* p, unsigned mask) {
  Vec made{};
  for (int lane = 0; lane < 4; ++lane)
    if (mask >> lane & 1) made[lane] = *p++;
  return made;
}
REWIRL_INLINE Vec squeeze(Vec x, unsigned mask) {
  Vec made{};
  int n = 0;
  for (int lane = 0; lane < 4; ++lane)
    if (mask >> lane & 1) made[n++] = x[lane];
  return made;
}

#endif

// max(x, 0), with +0 for both zeros and with NaN for NaN, which an instruction for the maximum swallows in one order of
// its operands and in the other gives -0 for -0.
REWIRL_INLINE Vec relu(Vec x) {
#if defined(REWIRL_AVX512)
  // As fast as a maximum, where gate is two instructions. Four bits for each kind of number, lowest first: quiet NaN,
  // NaN, 0, 1, -infinity, infinity, negative, positive. 1 keeps it, 2 makes it quiet, 8 is +0.
  return _mm512_fixupimm_ps(x, x, _mm512_set1_epi32(0x18181821), 0);
#else
  return gate(x, x);
#endif
}

// Keeps a value in a register: GCC otherwise loads it again for every use, and loads are what these kernels are short
// of.
REWIRL_INLINE void keep(Vec& x) {
#if defined(__x86_64__)
  asm("" : "+v"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#else
  (void)x;
#endif
}

// The same for an address, so that what is loaded near it is at a constant distance: GCC otherwise adds an index in
// every load, and such a load takes two micro-operations.
REWIRL_INLINE void keep(const float*& p) {
#if defined(__x86_64__) || defined(__aarch64__)
  asm("" : "+r"(p));
#else
  (void)p;
#endif
}

typedef int32_t IVec __attribute__((vector_size(4 * kWidth)));
typedef int32_t IVecU __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
REWIRL_INLINE IVec load_bits(const uint32_t* p) { return *reinterpret_cast<const IVecU*>(p); }
REWIRL_INLINE Vec to_float(IVec x) { return __builtin_convertvector(x, Vec); }

// [sum a, sum b, sum c, sum d]
REWIRL_INLINE V4 sums(Vec a, Vec b, Vec c, Vec d) { return fold(quads(pairs(a, b), pairs(c, d))); }
