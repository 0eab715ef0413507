// Optimisers: how gradients move what a network has learnt.
#pragma once
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "kernels/kernels.hpp"
#include "operation.hpp"

namespace rewirl {

struct Adam {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  // Weights shrink by learning_rate * weight_decay before the step (Loshchilov and Hutter 2019); else weight_decay
  // times the weight is added to the gradient.
  bool decoupled = false;
};

// The steps of Adam of one network.
class AdamSteps {
 public:
  int64_t steps = 0;
  bool ages = false;  // the bias correction of a connection or bias goes by its own age

  // The constants of the next step, which is counted.
  AdamStep next(const Adam& settings);
  // Moves one part of an operation.
  void move(const Operation& operation, const std::vector<Buffer<float>>& gradients, const Adam& settings,
            const AdamStep& step, Part part) const;

 private:
  void tabulate(const Adam& settings);
  Adam tabulated_{};  // the settings of these tables over the age; c1 is the correction that step sizes are divided by
  Buffer<double> c1_;
  Buffer<float> step_size_, inverse_root_c2_;
};

// The Euclidean norm of all gradients, and what makes it at most `limit`: they are multiplied by limit / (norm + 1e-6)
// where that is less than 1, as PyTorch's clip_grad_norm_ does.
double norm_of(const std::vector<std::vector<Buffer<float>>>& gradients);
void clip(const std::vector<std::vector<Buffer<float>>>& gradients, double norm, double limit);

}  // namespace rewirl
