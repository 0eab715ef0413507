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

  void forward(const Forward& tile, Part) const override { norm(tile.in[0], tile.out, tile.kept, tile.width()); }

  // With n features, g = scale * dy and h the normalised x: dx = (g - mean(g) - h * mean(g * h)) / sqrt(variance +
  // eps).
  void input_gradient(const Backward& tile, Part) const override {
    const size_t width = tile.width();
    const float *mean = tile.kept, *inverse = tile.kept + width;
    float sums[kLane * kMaxVectors] = {}, products[kLane * kMaxVectors] = {};
    for (size_t f = 0; f < rows(); ++f) {
      const float *x = tile.in[0] + f * width, *d = tile.d_out + f * width, scale = scale_ ? scale_->values[f] : 1.0f;
      for (size_t s = 0; s < width; ++s) {
        sums[s] += scale * d[s];
        products[s] += scale * d[s] * ((x[s] - mean[s]) * inverse[s]);
      }
    }
    const float share = 1.0f / static_cast<float>(features);
    for (size_t f = 0; f < rows(); ++f) {
      const float *x = tile.in[0] + f * width, *d = tile.d_out + f * width, scale = scale_ ? scale_->values[f] : 1.0f;
      float* out = tile.d_in[0] + f * width;
      for (size_t s = 0; s < width; ++s) {
        const float h = (x[s] - mean[s]) * inverse[s];
        const float own = (scale * d[s] - share * sums[s] - h * (share * products[s])) * inverse[s];
        out[s] = tile.accumulate[0] ? out[s] + own : own;
      }
    }
  }

  void parameter_gradient(const Backward& tile, const Buffer<float>* gradients, bool accumulate, float*,
                          Part part) const override {
    if (part.index > 0 || !scale_) return;
    const size_t width = tile.width();
    const float *mean = tile.kept, *inverse = tile.kept + width;
    float products[kLane * kMaxVectors];
    for (size_t f = 0; f < rows(); ++f) {
      const float *x = tile.in[0] + f * width, *d = tile.d_out + f * width;
      for (size_t s = 0; s < width; ++s) products[s] = d[s] * ((x[s] - mean[s]) * inverse[s]);
      kernels().row_sums(1, products, gradients[0].data() + f, tile.vectors, accumulate);
    }
    kernels().row_sums(features, tile.d_out, gradients[1].data(), tile.vectors, accumulate);
  }

  void act(const float* const* in, float* out, Epilogue) const override {
    float kept[2];
    norm(in[0], out, kept, 1);
  }

 private:
  size_t rows() const { return static_cast<size_t>(features); }

  void norm(const float* in, float* out, float* kept, size_t width) const {
    float *mean = kept, *inverse = kept + width;
    const float share = 1.0f / static_cast<float>(features);
    std::fill_n(kept, 2 * width, 0.0f);
    for (size_t f = 0; f < rows(); ++f)
      for (size_t s = 0; s < width; ++s) mean[s] += in[f * width + s];
    for (size_t s = 0; s < width; ++s) mean[s] *= share;
    for (size_t f = 0; f < rows(); ++f)
      for (size_t s = 0; s < width; ++s) {
        const float away = in[f * width + s] - mean[s];
        inverse[s] += away * away;
      }
    for (size_t s = 0; s < width; ++s) inverse[s] = 1.0f / std::sqrt(inverse[s] * share + epsilon_);
    for (size_t f = 0; f < rows(); ++f) {
      const float scale = scale_ ? scale_->values[f] : 1.0f, shift = shift_ ? shift_->values[f] : 0.0f;
      for (size_t s = 0; s < width; ++s)
        out[f * width + s] = scale * ((in[f * width + s] - mean[s]) * inverse[s]) + shift;
    }
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
