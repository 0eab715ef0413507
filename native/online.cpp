#include "online.hpp"

#include <algorithm>
#include <cmath>

namespace rewirl {
namespace {

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }
double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace

void count_and_normalise(size_t n, int64_t count, const float* x, double* mean, double* variance, double epsilon,
                         float* out) {
  const double total = static_cast<double>(count), before = total - 1.0;
  for (size_t i = 0; i < n; ++i) {
    const double difference = x[i] - mean[i], step = difference / total;
    mean[i] += step;
    variance[i] = (variance[i] + difference * step) * (before / total);
    const double of_sample = count > 1 ? variance[i] * (total / before) : 1.0;
    out[i] = (x[i] - static_cast<float>(mean[i])) * static_cast<float>(1.0 / std::sqrt(of_sample + epsilon));
  }
}

void sample_softplus(size_t n, const float* outputs, const float* noise, float* action) {
  for (size_t i = 0; i < n; ++i)
    action[i] = static_cast<float>(outputs[i] + softplus(outputs[n + i]) * static_cast<double>(noise[i]));
}

void softplus_gradient(size_t n, const float* outputs, const float* action, float entropy_weight, float* gradient) {
  for (size_t i = 0; i < n; ++i) {
    const double raw = outputs[n + i], sigma = softplus(raw);
    const double z = (static_cast<double>(action[i]) - outputs[i]) / sigma;
    gradient[i] = static_cast<float>(z / sigma);
    gradient[n + i] = static_cast<float>((z * z - 1.0 + entropy_weight) / sigma * sigmoid(raw));
  }
}

}  // namespace rewirl
