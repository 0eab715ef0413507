// Elementary functions, samples of Gaussians and their gradients, and normal random numbers.
#pragma once
#include "kernels/kernels.hpp"
#include "kernels/vec.hpp"

namespace rewirl {
namespace {

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
  const Vec x = clamp(given, set1(-87.0f), set1(87.0f)),
            round = set1(12582912.0f);  // 1.5 * 2^23: its last bits count ones
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

void squashed_gaussian(size_t n, const float* mean, const float* log_std, const float* noise, float* squashed,
                       float* log_probability) {
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

void squashed_gaussian_gradient(size_t n, const float* log_std, const float* noise, const float* squashed,
                                const float* d_squashed, const float* d_log_probability, float* d_mean,
                                float* d_log_std) {
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec given = load(log_std + i), ls = clamp(given, set1(kLeastLogStd), set1(kMostLogStd));
    const Vec a = load(squashed + i), dp = load(d_log_probability + i);
    const Vec du = fma(load(d_squashed + i), fma(-a, a, set1(1.0f)), dp * (a + a));
    const Vec dls = fma(du * exp_of(ls), load(noise + i), -dp);
    store(d_mean + i, du);
    store(d_log_std + i, (Vec)(~(IVec)((given < ls) | (given > ls)) & (IVec)dls));  // NaN stays
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

}  // namespace
}  // namespace rewirl
