// y = scale * (x - mean) / sqrt(variance + eps) + shift, with mean and (biased) variance of every feature over the
// samples of a batch in training, else the running ones (Ioffe and Szegedy 2015). Running statistics move by momentum *
// (those of the batch - running), the variance that of an unbiased estimate, as in PyTorch.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/cpu.hpp"
#include "operations/operations.hpp"

namespace rewirl {
namespace {

class BatchNorm final : public Operation {
 public:
  explicit BatchNorm(const OperationSpec& spec)
      : Operation(spec, spec.features[0]),
        epsilon_(static_cast<float>(spec.number("eps"))),
        momentum_(static_cast<float>(spec.number("momentum"))),
        mean_("mean", rows(), false),
        variance_("variance", rows(), false) {
    if (!(epsilon_ > 0.0f)) throw std::invalid_argument("the eps of the operation " + name + " must be more than 0");
    if (!(momentum_ >= 0.0f && momentum_ <= 1.0f))
      throw std::invalid_argument("the momentum of the operation " + name + " must be between 0 and 1");
    std::fill(variance_.values.begin(), variance_.values.end(), 1.0f);
    if (!spec.flag("affine")) return;
    scale_ = std::make_unique<Learnable>("scale", rows(), spec.trainable);
    shift_ = std::make_unique<Learnable>("shift", rows(), spec.trainable);
    std::fill(scale_->values.begin(), scale_->values.end(), 1.0f);
  }

  const char* kind() const override { return "batch_norm"; }
  std::vector<Learnable*> learnables() const override {
    if (scale_) return {scale_.get(), shift_.get()};
    return {};
  }
  std::vector<Learnable*> statistics() const override { return {&mean_, &variance_}; }
  size_t batch_statistics() const override { return 2 * rows(); }

  void statistics_of(const WholeBatch& batch, const Batch* in, float* statistics) const override {
    for (size_t f = 0; f < rows(); ++f) {
      double sum = 0.0, squares = 0.0;
      each(batch, [&](int t, size_t s) { sum += in[0].tile(t)[f * batch.width() + s]; });
      const double mean = sum / static_cast<double>(batch.samples);
      each(batch, [&](int t, size_t s) {
        const double away = in[0].tile(t)[f * batch.width() + s] - mean;
        squares += away * away;
      });
      statistics[f] = static_cast<float>(mean);
      statistics[rows() + f] = static_cast<float>(squares / static_cast<double>(batch.samples));
    }
  }

  void forward(const Forward& tile, Part) const override {
    const size_t width = tile.width();
    for (size_t f = 0; f < rows(); ++f) {
      const Line line = line_of(f, tile.statistics);
      for (size_t s = 0; s < width; ++s)
        tile.out[f * width + s] = line.scale * ((tile.in[0][f * width + s] - line.mean) * line.inverse) + line.shift;
    }
  }

  void input_gradient(const Backward& tile, Part) const override {  // with running statistics, which are constants
    const size_t width = tile.width();
    for (size_t f = 0; f < rows(); ++f) {
      const Line line = line_of(f, nullptr);
      const float slope = line.scale * line.inverse;
      float* out = tile.d_in[0] + f * width;
      for (size_t s = 0; s < width; ++s) {
        const float own = slope * tile.d_out[f * width + s];
        out[s] = tile.accumulate[0] ? out[s] + own : own;
      }
    }
  }

  // With h the normalised x: dx = scale * (dy - mean(dy) - h * mean(dy * h)) / sqrt(variance + eps), over the samples.
  void input_gradient_of(const WholeBatch& batch, const Batch* in, const float* d_out, const float* statistics,
                         float* const* d_in, const bool* accumulate) const override {
    const size_t width = batch.width(), tile = rows() * width;
    for (size_t f = 0; f < rows(); ++f) {
      const Line line = line_of(f, statistics);
      const auto h = [&](int t, size_t s) { return (in[0].tile(t)[f * width + s] - line.mean) * line.inverse; };
      const auto at = [&](int t, size_t s) { return static_cast<size_t>(t) * tile + f * width + s; };
      double sum = 0.0, products = 0.0;
      each(batch, [&](int t, size_t s) {
        sum += d_out[at(t, s)];
        products += static_cast<double>(d_out[at(t, s)]) * h(t, s);
      });
      const float mean = static_cast<float>(sum / static_cast<double>(batch.samples));
      const float product = static_cast<float>(products / static_cast<double>(batch.samples));
      for (int t = 0; t < batch.tiles; ++t)
        for (size_t s = 0; s < width; ++s) {
          const bool sample = s < batch.samples_in(t);  // padding has no part in anything
          const float own = sample ? line.scale * line.inverse * (d_out[at(t, s)] - mean - h(t, s) * product) : 0.0f;
          float& out = d_in[0][at(t, s)];
          out = accumulate[0] ? out + own : own;
        }
    }
  }

  void parameter_gradient(const Backward& tile, const Buffer<float>* gradients, bool accumulate, float*,
                          Part part) const override {
    if (part.index > 0 || !scale_) return;
    const size_t width = tile.width();
    float products[kLane * kMaxVectors];
    for (size_t f = 0; f < rows(); ++f) {
      const Line line = line_of(f, tile.statistics);
      for (size_t s = 0; s < width; ++s)
        products[s] = tile.d_out[f * width + s] * ((tile.in[0][f * width + s] - line.mean) * line.inverse);
      kernels().row_sums(1, products, gradients[0].data() + f, tile.vectors, accumulate);
    }
    kernels().row_sums(features, tile.d_out, gradients[1].data(), tile.vectors, accumulate);
  }

  void act(const float* const* in, float* out, Epilogue) const override {
    for (size_t f = 0; f < rows(); ++f) {
      const Line line = line_of(f, nullptr);
      out[f] = line.scale * ((in[0][f] - line.mean) * line.inverse) + line.shift;
    }
  }

  void update_statistics(const float* statistics, size_t samples) override {
    const float unbiased = samples > 1 ? static_cast<float>(samples) / static_cast<float>(samples - 1) : 1.0f;
    for (size_t f = 0; f < rows(); ++f) {
      mean_.values[f] += momentum_ * (statistics[f] - mean_.values[f]);
      variance_.values[f] += momentum_ * (statistics[rows() + f] * unbiased - variance_.values[f]);
    }
  }

 private:
  struct Line {
    float mean, inverse, scale, shift;
  };

  size_t rows() const { return static_cast<size_t>(features); }

  Line line_of(size_t f, const float* statistics) const {
    const float variance = statistics ? statistics[rows() + f] : variance_.values[f];
    return {statistics ? statistics[f] : mean_.values[f], 1.0f / std::sqrt(variance + epsilon_),
            scale_ ? scale_->values[f] : 1.0f, shift_ ? shift_->values[f] : 0.0f};
  }

  template <class Visit>
  static void each(const WholeBatch& batch, const Visit& visit) {
    for (int t = 0; t < batch.tiles; ++t)
      for (size_t s = 0; s < batch.samples_in(t); ++s) visit(t, s);
  }

  float epsilon_, momentum_;
  mutable Learnable mean_, variance_;         // running
  std::unique_ptr<Learnable> scale_, shift_;  // or null
};

}  // namespace

std::unique_ptr<Operation> make_batch_norm(const OperationSpec& spec) {
  spec.require_inputs(1);
  return std::make_unique<BatchNorm>(spec);
}

}  // namespace rewirl
