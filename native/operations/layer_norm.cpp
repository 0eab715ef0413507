// y = scale * (x - mean) / sqrt(variance + eps) + shift, with mean and (biased) variance over the features of a sample
// (Ba et al. 2016); without affine, scale is 1 and shift 0.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/cpu.hpp"
#include "operations/operations.hpp"

namespace rewirl {
namespace {

class LayerNorm final : public Operation {
 public:
  explicit LayerNorm(const OperationSpec& spec)
      : Operation(spec, spec.features[0]), epsilon_(static_cast<float>(spec.number("eps"))) {
    if (!(epsilon_ > 0.0f)) throw std::invalid_argument("the eps of the operation " + name + " must be more than 0");
    if (!spec.flag("affine")) return;
    scale_ = std::make_unique<Learnable>("scale", static_cast<size_t>(features), spec.trainable);
    shift_ = std::make_unique<Learnable>("shift", static_cast<size_t>(features), spec.trainable);
    std::fill(scale_->values.begin(), scale_->values.end(), 1.0f);
  }

  const char* kind() const override { return "layer_norm"; }
  std::vector<Learnable*> learnables() const override {
    if (scale_) return {scale_.get(), shift_.get()};
    return {};
  }
  size_t kept_rows() const override { return 2; }  // mean and 1 / sqrt(variance + eps) of every sample
  bool finishes() const override { return true; }

  void forward(const Forward& tile, Part) const override {
    kernels().layer_norm(of(tile.vectors), tile.in[0], tile.out, tile.kept, tile.kept + tile.width(),
                         tile.epilogue == Epilogue::relu);
  }

  void input_gradient(const Backward& tile, Part) const override {
    kernels().layer_norm_gradient(of(tile.vectors), tile.in[0], tile.d_out, tile.kept, tile.kept + tile.width(),
                                  tile.d_in[0], tile.accumulate[0]);
  }

  void parameter_gradient(const Backward& tile, const Buffer<float>* gradients, bool accumulate, float*,
                          Part part) const override {
    if (part.index > 0 || !scale_) return;
    kernels().layer_norm_parameters(of(tile.vectors), tile.in[0], tile.d_out, tile.kept, tile.kept + tile.width(),
                                    gradients[0].data(), gradients[1].data(), accumulate);
  }

  void act(const float* const* in, float* out, Epilogue epilogue) const override {
    const auto [mean, inverse] = moments(in[0]);
    for (int32_t f = 0; f < features; ++f) {
      const float shift = shift_ ? shift_->values[static_cast<size_t>(f)] : 0.0f;
      const float y = scale(f) * ((in[0][f] - mean) * inverse) + shift;
      out[f] = epilogue == Epilogue::relu && y <= 0.0f ? 0.0f : y;  // NaN is no 0
    }
  }

  bool streams() const override { return true; }

  // With x' = (x - mean) * inverse and g = d_out * scale: inverse * (g - mean(g) - x' * mean(g * x')).
  void act_gradient(const float* const* in, const float*, const float* d_out, float* const* d_in) const override {
    float* d = d_in[0];
    if (!d) return;
    const auto [mean, inverse] = moments(in[0]);
    float sum = 0.0f, product = 0.0f;
    for (int32_t f = 0; f < features; ++f) {
      const float g = d_out[f] * scale(f);
      sum += g;
      product += g * ((in[0][f] - mean) * inverse);
    }
    const float share = 1.0f / static_cast<float>(features);
    sum *= share;
    product *= share;
    for (int32_t f = 0; f < features; ++f)
      d[f] += inverse * (d_out[f] * scale(f) - sum - (in[0][f] - mean) * inverse * product);
  }

  double trace(const float* const* in, const float* d_out, float decay) const override {
    if (!scale_) return 0.0;
    const auto [mean, inverse] = moments(in[0]);
    double sum = 0.0;
    for (int32_t f = 0; f < features; ++f) {
      const size_t i = static_cast<size_t>(f);
      float &of_scale = scale_->m[i], &of_shift = shift_->m[i];
      of_scale = decay * of_scale + d_out[f] * ((in[0][f] - mean) * inverse);
      of_shift = decay * of_shift + d_out[f];
      sum += std::fabs(of_scale) + std::fabs(of_shift);
    }
    return sum;
  }

 private:
  struct Moments {
    float mean, inverse;
  };
  Moments moments(const float* x) const {
    float mean = 0.0f, square = 0.0f;
    const float share = 1.0f / static_cast<float>(features);
    for (int32_t f = 0; f < features; ++f) mean += x[f];
    mean *= share;
    for (int32_t f = 0; f < features; ++f) square += (x[f] - mean) * (x[f] - mean);
    return {mean, 1.0f / std::sqrt(square * share + epsilon_)};
  }
  float scale(int32_t feature) const { return scale_ ? scale_->values[static_cast<size_t>(feature)] : 1.0f; }

  LayerNormTile of(int vectors) const {
    return {features, vectors, epsilon_, scale_ ? scale_->values.data() : nullptr,
            shift_ ? shift_->values.data() : nullptr};
  }

  float epsilon_;
  std::unique_ptr<Learnable> scale_, shift_;  // or null
};

}  // namespace

std::unique_ptr<Operation> make_layer_norm(const OperationSpec& spec) {
  spec.require_inputs(1);
  return std::make_unique<LayerNorm>(spec);
}

}  // namespace rewirl
