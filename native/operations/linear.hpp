// y = weights x + bias.
#pragma once
#include <memory>
#include <vector>

#include "operation.hpp"

namespace rewirl {

class Linear final : public Operation {
 public:
  explicit Linear(const OperationSpec& spec);

  const char* kind() const override { return "linear"; }
  size_t multiplications() const override { return weights_->connections(); }
  Weights* weights() const override { return weights_.get(); }
  size_t scratch_rows() const override { return weights_->scratch_rows(); }
  void forward(const Forward& tile, Part part) const override;
  void input_gradient(const Backward& tile, Part part) const override;
  void parameter_gradient(const Backward& tile, const Buffer<float>* gradients, bool accumulate, float* scratch,
                          Part part) const override;
  bool whole_batch_gradient() const override { return weights_->whole_batch(); }
  void parameter_gradient_of(const WholeBatch& batch, const Batch* in, const float* d_out, const float* statistics,
                             const Buffer<float>* gradients, Part part) const override;
  void act(const float* const* in, float* out, Epilogue epilogue) const override;
  bool streams() const override { return weights_->streams(); }
  void act_gradient(const float* const* in, const float* out, const float* d_out, float* const* d_in) const override;
  double trace(const float* const* in, const float* d_out, float decay) const override;
  std::vector<Learnable*> learnables() const override;
  void stretches(Part part, const std::function<void(size_t, size_t, size_t)>& visit) const override;
  void changed() override { weights_->changed(); }
  void stepped() override;
  std::unique_ptr<TargetStep> follow(const Operation& online, bool stale) override;

  // Weights::rewired, in place.
  void rewire(const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown, uint32_t step, bool ages);
  void count_ages();
  void replace(std::unique_ptr<Weights> weights);
  uint64_t version() const { return version_; }  // counts the topologies it has had

 private:
  void bias_gradient(const float* d_out, int vectors, float* gradient, bool accumulate, Part part) const;
  const float* bias() const { return bias_ ? bias_->values.data() : nullptr; }
  std::unique_ptr<Weights> weights_;
  std::unique_ptr<Learnable> bias_;  // or null
  bool unit_norm_;                   // of the weights of every output, after each step and each rewiring
  uint64_t version_ = 0;
};

}  // namespace rewirl
