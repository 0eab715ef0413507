// What agents that learn from each step at once compute beside their networks.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rewirl {

// Counts a vector x in a running mean and (biased) variance, and normalises it by them, with the variance of a sample:
//   out = (x - mean) / sqrt(variance * count / (count - 1) + epsilon), with a variance of 1 for the first.
// count includes x (Welford 1962).
void count_and_normalise(size_t n, int64_t count, const float* x, double* mean, double* variance, double epsilon,
                         float* out);

// An action from N(mean, sigma) with sigma = softplus of the second half of the outputs: mean + sigma * noise.
void sample_softplus(size_t n, const float* outputs, const float* noise, float* action);

// The gradients of the outputs of ln N(action | mean, sigma) + entropy_weight * (the entropy of N).
void softplus_gradient(size_t n, const float* outputs, const float* action, float entropy_weight, float* gradient);

}  // namespace rewirl
