#include "heads.hpp"

#include <algorithm>

#include "kernels/cpu.hpp"

namespace rewirl {

void squash(const ConstTiles& raw, const BitGenerator* bits, float scale, float bound, const MutableTiles& out) {
  const size_t floats = out.features * out.width;
  Buffer<float> noise;
  if (bits) noise = normals(*bits, out.tiles * floats);
  for (size_t t = 0; t < out.tiles; ++t)
    kernels().squash(floats, raw.row(t, 0), bits ? noise.data() + t * floats : nullptr, scale, bound, out.row(t, 0));
}

void squash_gradient(const ConstTiles& squashed, const MutableTiles& gradient) {
  for (size_t t = 0; t < gradient.tiles; ++t) {
    const float* a = squashed.row(t, 0);
    float* g = gradient.row(t, 0);
    for (size_t i = 0; i < gradient.features * gradient.width; ++i) g[i] *= 1.0f - a[i] * a[i];
  }
}

void minimum(const std::vector<ConstTiles>& outputs, float factor, const ConstTiles& scale, const ConstTiles& offset,
             const MutableTiles& out) {
  for (size_t t = 0; t < out.tiles; ++t) {
    const float *factors = scale.row(t, 0), *constants = offset.row(t, 0);
    float* result = out.row(t, 0);
    for (size_t i = 0; i < out.features * out.width; ++i) {
      float least = outputs[0].row(t, 0)[i];
      for (const ConstTiles& output : outputs) {
        const float value = output.row(t, 0)[i];
        if (value < least || value != value) least = value;  // NaN stays: nothing is less
      }
      result[i] = constants[i] + factor * factors[i] * least;
    }
  }
}

void categorical(const ConstTiles& logits, float low, float step, const MutableTiles& probability,
                 const MutableTiles& mean) {
  for (size_t t = 0; t < logits.tiles; ++t)
    kernels().categorical(static_cast<int>(logits.features), static_cast<int>(logits.width / kLane), logits.row(t, 0),
                          low, step, probability.row(t, 0), mean.row(t, 0));
}

void project_categorical(const ConstTiles& probability, float low, float step, const ConstTiles& offset,
                         const ConstTiles& scale, const MutableTiles& out) {
  const size_t width = out.width;
  const float last = static_cast<float>(out.features - 1);
  for (size_t t = 0; t < out.tiles; ++t) {
    float* to = out.row(t, 0);
    std::fill_n(to, out.features * width, 0.0f);
    const float *at_zero = offset.row(t, 0), *factor = scale.row(t, 0);
    for (size_t r = 0; r < out.features; ++r) {
      const float bin = low + step * static_cast<float>(r), *p = probability.row(t, r);
      for (size_t s = 0; s < width; ++s) {
        const float place = (at_zero[s] + factor[s] * bin - low) / step;
        const float held = place > 0.0f ? std::min(place, last) : 0.0f;  // 0 for NaN, which has no place
        const float mass = place == place ? p[s] : place;                // and stays NaN
        const size_t below = static_cast<size_t>(held);
        const float above = held - static_cast<float>(below);
        to[below * width + s] += (1.0f - above) * mass;
        if (above > 0.0f) to[(below + 1) * width + s] += above * mass;
      }
    }
  }
}

void sample_squashed_gaussian(const ConstTiles& raw, const BitGenerator& bits, const MutableTiles& out,
                              const MutableTiles& noise, const MutableTiles& log_probability) {
  const size_t features = out.features, numbers = noise.tiles * features * noise.width;
  std::copy_n(normals(bits, numbers).data(), numbers, noise.data);
  std::fill_n(log_probability.data, log_probability.tiles * log_probability.width, 0.0f);
  for (size_t t = 0; t < out.tiles; ++t)
    for (size_t f = 0; f < features; ++f)
      kernels().squashed_gaussian(out.width, raw.row(t, f), raw.row(t, features + f), noise.row(t, f), out.row(t, f),
                                  log_probability.row(t, 0));
}

void squashed_gaussian_gradient(const ConstTiles& raw, const ConstTiles& squashed, const ConstTiles& noise,
                                const ConstTiles& d_squashed, const ConstTiles& d_log_probability,
                                const MutableTiles& out) {
  const size_t features = squashed.features;
  for (size_t t = 0; t < out.tiles; ++t)
    for (size_t f = 0; f < features; ++f)
      kernels().squashed_gaussian_gradient(out.width, raw.row(t, features + f), noise.row(t, f), squashed.row(t, f),
                                           d_squashed.row(t, f), d_log_probability.row(t, 0), out.row(t, f),
                                           out.row(t, features + f));
}

}  // namespace rewirl
