// y = scale * (x - mean) / sqrt(variance + eps) + shift, with mean and (biased) variance of every feature over the
// samples of a batch in training, else the running ones (Ioffe and Szegedy 2015). Running statistics move by momentum *
// (those of the batch - running), the variance that of an unbiased estimate, as in PyTorch.
#pragma once
#include <memory>
#include <vector>

#include "operations/operations.hpp"

namespace rewirl {

class BatchNorm : public Operation {
 public:
  explicit BatchNorm(const OperationSpec& spec);

  const char* kind() const override { return "batch_norm"; }
  bool finishes() const override { return true; }
  std::vector<Learnable*> learnables() const override;
  std::vector<Learnable*> statistics() const override { return {&mean_, &variance_}; }

  void forward(const Forward& tile, Part part) const override;
  void input_gradient(const Backward& tile, Part part) const override;
  void parameter_gradient(const Backward& tile, const Buffer<float>* gradients, bool accumulate, float* scratch,
                          Part part) const override;
  void act(const float* const* in, float* out, Epilogue epilogue) const override;

  size_t batch_statistics() const override { return kRows * rows(); }
  bool in_place() const override { return true; }
  void forward_of(const WholeBatch& batch, const Batch* in, float* out, float* statistics, Epilogue epilogue,
                  Part part) const override;
  void input_gradient_of(const WholeBatch& batch, const Batch* in, const float* d_out, float* statistics,
                         float* const* d_in, const bool* accumulate, Part part) const override;
  void parameter_gradient_of(const WholeBatch& batch, const Batch* in, const float* d_out, const float* statistics,
                             const Buffer<float>* gradients, Part part) const override;
  void update_statistics(const float* statistics, size_t samples) override;

 protected:
  // In training y = scale * (h * factor + offset) + shift, h being the normalised x.
  struct Correction {
    float factor = 1.0f, offset = 0.0f;
  };
  virtual Correction correction(size_t, float, float) const { return {}; }  // of a feature, its mean and variance

  size_t rows() const { return static_cast<size_t>(features); }

  float epsilon_, momentum_;
  mutable Learnable mean_, variance_;  // running

 private:
  enum { kMean, kVariance, kFactor, kOffset, kSum, kProduct, kRows };  // of the statistics of a batch

  // Of a feature: h = (x - mean) * inverse, y = scale * (h * factor + offset) + shift.
  struct Line {
    float mean, inverse, factor, offset, scale, shift;
  };
  Line line_of(size_t f, const float* statistics) const;  // with running ones where there are none

  std::unique_ptr<Learnable> scale_, shift_;  // or null
};

}  // namespace rewirl
