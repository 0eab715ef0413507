// What is made of a network's output: actions, samples and targets, and the gradients through them. All take tiles of
// one number and width; where features matter, it is said.
#pragma once
#include <vector>

#include "random.hpp"
#include "tiles.hpp"

namespace rewirl {

// out = clip(tanh(raw) + clip(scale * normal, -bound, bound), -1, 1); without bits, no noise.
void squash(const ConstTiles& raw, const BitGenerator* bits, float scale, float bound, const MutableTiles& out);

// gradient *= 1 - squashed^2, the derivative of tanh.
void squash_gradient(const ConstTiles& squashed, const MutableTiles& gradient);

// out = offset + factor * scale * (the least of the outputs); NaN counts as the least.
void minimum(const std::vector<ConstTiles>& outputs, float factor, const ConstTiles& scale, const ConstTiles& offset,
             const MutableTiles& out);

// out = tanh(mean + exp(log_std) * noise), with mean and log_std the halves of the features of `raw`. noise and
// log_probability (one feature) are contiguous.
// Softmax over the features of every sample, and the mean of the bins low, low + step, ... under it.
void categorical(const ConstTiles& logits, float low, float step, const MutableTiles& probability,
                 const MutableTiles& mean);

// Of distributions over the same bins, that of offset + scale * bin, each sample with its own: what falls beyond the
// bins counts as the last one, and what falls between two is shared out (Bellemare et al. 2017, Algorithm 1).
void project_categorical(const ConstTiles& probability, float low, float step, const ConstTiles& offset,
                         const ConstTiles& scale, const MutableTiles& out);

void sample_squashed_gaussian(const ConstTiles& raw, const BitGenerator& bits, const MutableTiles& out,
                              const MutableTiles& noise, const MutableTiles& log_probability);

// The gradient of `raw`, given those of what sample_squashed_gaussian wrote.
void squashed_gaussian_gradient(const ConstTiles& raw, const ConstTiles& squashed, const ConstTiles& noise,
                                const ConstTiles& d_squashed, const ConstTiles& d_log_probability,
                                const MutableTiles& out);

}  // namespace rewirl
