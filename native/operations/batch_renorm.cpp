// Batch norm that in training gives what the running statistics would, up to bounds (Ioffe 2017): with sigma the roots
// of the variances plus eps,
//   y = scale * (h * r + d) + shift, r = clip(sigma_batch / sigma_running, 1 / r_max, r_max),
//   d = clip((mean_batch - mean_running) / sigma_running, -d_max, d_max).
// r and d are constants for the gradients; they are 1 and 0 until the running statistics have moved `warm_up` times.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "operations/batch_norm.hpp"

namespace rewirl {
namespace {

class BatchRenorm final : public BatchNorm {
 public:
  explicit BatchRenorm(const OperationSpec& spec)
      : BatchNorm(spec),
        r_max_(static_cast<float>(spec.number("r_max"))),
        d_max_(static_cast<float>(spec.number("d_max"))),
        warm_up_(static_cast<float>(spec.number("warm_up"))),
        moves_("moves", 1, false) {
    if (!(r_max_ >= 1.0f)) throw std::invalid_argument("the r_max of the operation " + name + " must be at least 1");
    if (!(d_max_ >= 0.0f)) throw std::invalid_argument("the d_max of the operation " + name + " must be 0 or more");
    if (!(warm_up_ >= 0.0f && warm_up_ <= 1 << 24))  // floats count exactly up to there
      throw std::invalid_argument("the warm_up of the operation " + name + " must be from 0 to 2^24");
  }

  const char* kind() const override { return "batch_renorm"; }
  std::vector<Learnable*> statistics() const override { return {&mean_, &variance_, &moves_}; }

  void update_statistics(const float* statistics, size_t samples) override {
    BatchNorm::update_statistics(statistics, samples);
    moves_.values[0] = std::min(moves_.values[0] + 1.0f, static_cast<float>(1 << 24));
  }

 protected:
  Correction correction(size_t f, float mean, float variance) const override {
    if (moves_.values[0] < warm_up_) return {};
    const float running = std::sqrt(variance_.values[f] + epsilon_);
    return {std::clamp(std::sqrt(variance + epsilon_) / running, 1.0f / r_max_, r_max_),
            std::clamp((mean - mean_.values[f]) / running, -d_max_, d_max_)};
  }

 private:
  float r_max_, d_max_, warm_up_;
  mutable Learnable moves_;  // of the running statistics so far
};

}  // namespace

std::unique_ptr<Operation> make_batch_renorm(const OperationSpec& spec) {
  spec.require_inputs(1);
  return std::make_unique<BatchRenorm>(spec);
}

}  // namespace rewirl
