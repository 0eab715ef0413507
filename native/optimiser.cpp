#include "optimiser.hpp"

#include <cmath>

#include "kernels/cpu.hpp"

namespace rewirl {
namespace {

constexpr uint32_t kOldest = 16384;  // beyond this age the bias correction of beta2 = 0.999 is below float precision

double first_correction(const Adam& s, double t) { return 1.0 - std::pow(static_cast<double>(s.beta1), t); }
float corrected_step_size(const Adam& s, double correction) { return static_cast<float>(s.learning_rate / correction); }
float inverse_root(const Adam& s, double t) {
  return static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(static_cast<double>(s.beta2), t)));
}

}  // namespace

void AdamSteps::tabulate(const Adam& s) {
  const bool first = c1_.size() == 0;
  if (first || s.beta1 != tabulated_.beta1 || s.beta2 != tabulated_.beta2) {
    c1_ = Buffer<double>(kOldest + 1);
    inverse_root_c2_ = Buffer<float>(kOldest + 1);
    step_size_ = Buffer<float>(kOldest + 1);
    for (uint32_t age = 1; age <= kOldest; ++age) {
      c1_[age] = first_correction(s, age);
      inverse_root_c2_[age] = inverse_root(s, age);
    }
  } else if (s.learning_rate == tabulated_.learning_rate) {
    return;
  }
  tabulated_ = s;
  for (uint32_t age = 1; age <= kOldest; ++age) step_size_[age] = corrected_step_size(s, c1_[age]);
}

AdamStep AdamSteps::next(const Adam& s) {
  ++steps;
  if (ages) tabulate(s);
  const double t = static_cast<double>(steps);
  return {corrected_step_size(s, first_correction(s, t)),
          inverse_root(s, t),
          s.beta1,
          s.beta2,
          s.epsilon,
          s.decoupled ? 0.0f : s.weight_decay};
}

void AdamSteps::move(const Operation& operation, const std::vector<Buffer<float>>& gradients, const Adam& settings,
                     const AdamStep& step, Part part) const {
  const std::vector<Learnable*> learnables = operation.learnables();
  operation.stretches(part, [&](size_t which, size_t begin, size_t end) {
    const Learnable& l = *learnables[which];
    const size_t n = end - begin;
    float *w = l.values.data() + begin, *m = l.m.data() + begin, *v = l.v.data() + begin;
    const float* g = gradients[which].data() + begin;
    if (settings.decoupled && settings.weight_decay != 0.0f)
      kernels().interpolate(n, w, nullptr, settings.learning_rate * settings.weight_decay);
    if (l.born.size() > 0)
      kernels().adam_by_age(n, w, g, m, v, step, l.born.data() + begin, static_cast<uint32_t>(steps), step_size_.data(),
                            inverse_root_c2_.data(), kOldest + 1);
    else
      kernels().adam(n, w, g, m, v, step);
  });
}

double norm_of(const std::vector<std::vector<Buffer<float>>>& gradients) {
  double sum = 0.0;
  for (const auto& operation : gradients)
    for (const Buffer<float>& gradient : operation)
      for (const float g : gradient) sum += static_cast<double>(g) * g;
  return std::sqrt(sum);
}

void clip(const std::vector<std::vector<Buffer<float>>>& gradients, double norm, double limit) {
  const double factor = limit / (norm + 1e-6);
  if (factor >= 1.0) return;
  for (const auto& operation : gradients)
    for (const Buffer<float>& gradient : operation)
      for (float& g : gradient) g *= static_cast<float>(factor);
}

}  // namespace rewirl
