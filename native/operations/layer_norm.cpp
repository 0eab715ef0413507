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
    float mean = 0.0f, square = 0.0f;
    const float share = 1.0f / static_cast<float>(features);
    for (int32_t f = 0; f < features; ++f) mean += in[0][f];
    mean *= share;
    for (int32_t f = 0; f < features; ++f) square += (in[0][f] - mean) * (in[0][f] - mean);
    const float inverse = 1.0f / std::sqrt(square * share + epsilon_);
    for (int32_t f = 0; f < features; ++f) {
      const size_t i = static_cast<size_t>(f);
      const float y =
          (scale_ ? scale_->values[i] : 1.0f) * ((in[0][f] - mean) * inverse) + (shift_ ? shift_->values[i] : 0.0f);
      out[f] = epilogue == Epilogue::relu ? std::max(y, 0.0f) : y;
    }
  }

 private:
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
