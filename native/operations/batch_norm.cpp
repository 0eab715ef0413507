#include "operations/batch_norm.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/cpu.hpp"

namespace rewirl {
namespace {

// A feature of all tiles, and how many of their columns are samples.
class Rows {
 public:
  explicit Rows(const WholeBatch& batch) {
    for (int t = 0; t < batch.tiles; ++t) samples_.push_back(static_cast<int32_t>(batch.samples_in(t)));
    row = {batch.tiles, batch.vectors, samples_.data(), static_cast<int64_t>(batch.all_samples())};
  }
  BatchRow row;

 private:
  std::vector<int32_t> samples_;
};

}  // namespace

BatchNorm::BatchNorm(const OperationSpec& spec)
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

std::vector<Learnable*> BatchNorm::learnables() const {
  if (scale_) return {scale_.get(), shift_.get()};
  return {};
}

BatchNorm::Line BatchNorm::line_of(size_t f, const float* statistics) const {
  const float scale = scale_ ? scale_->values[f] : 1.0f, shift = shift_ ? shift_->values[f] : 0.0f;
  if (!statistics) return {mean_.values[f], 1.0f / std::sqrt(variance_.values[f] + epsilon_), 1.0f, 0.0f, scale, shift};
  const auto at = [&](size_t row) { return statistics[row * rows() + f]; };
  return {at(kMean), 1.0f / std::sqrt(at(kVariance) + epsilon_), at(kFactor), at(kOffset), scale, shift};
}

void BatchNorm::forward_of(const WholeBatch& batch, const Batch* in, float* out, float* statistics, Epilogue epilogue,
                           Part part) const {
  const Rows of(batch);
  const size_t width = batch.width(), end = static_cast<size_t>(part.end(features));
  const ptrdiff_t stride = static_cast<ptrdiff_t>(rows() * width);
  for (size_t f = static_cast<size_t>(part.begin(features)); f < end; ++f) {
    const float* x = in[0].data + f * width;
    float &mean = statistics[kMean * rows() + f], &variance = statistics[kVariance * rows() + f];
    kernels().row_moments(of.row, x, in[0].stride, &mean, &variance);
    const Correction correct = correction(f, mean, variance);
    statistics[kFactor * rows() + f] = correct.factor;
    statistics[kOffset * rows() + f] = correct.offset;
    const Line line = line_of(f, statistics);
    kernels().row_line(of.row, x, in[0].stride, out + f * width, stride,
                       {line.mean, line.inverse * line.factor * line.scale, line.scale * line.offset + line.shift},
                       epilogue == Epilogue::relu);
  }
}

void BatchNorm::forward(const Forward& tile, Part) const {  // with running statistics
  const int32_t all = static_cast<int32_t>(tile.width());
  const BatchRow row{1, tile.vectors, &all, all};
  for (size_t f = 0; f < rows(); ++f) {
    const Line line = line_of(f, nullptr);
    kernels().row_line(row, tile.in[0] + f * tile.width(), 0, tile.out + f * tile.width(), 0,
                       {line.mean, line.inverse * line.scale, line.shift}, tile.epilogue == Epilogue::relu);
  }
}

// With g = scale * factor * dy: dx = (g - mean(g) - h * mean(g * h)) * inverse, over the samples. Factor and offset are
// taken for constants.
void BatchNorm::input_gradient_of(const WholeBatch& batch, const Batch* in, const float* d_out, float* statistics,
                                  float* const* d_in, const bool* accumulate, Part part) const {
  const Rows of(batch);
  const size_t width = batch.width(), end = static_cast<size_t>(part.end(features));
  const ptrdiff_t stride = static_cast<ptrdiff_t>(rows() * width);
  const float share = 1.0f / static_cast<float>(batch.all_samples());
  for (size_t f = static_cast<size_t>(part.begin(features)); f < end; ++f) {
    const float *x = in[0].data + f * width, *dy = d_out + f * width;
    const Line line = line_of(f, statistics);
    float sum = 0.0f, product = 0.0f;
    kernels().row_products(of.row, x, in[0].stride, dy, stride, line.mean, &sum, &product);
    statistics[kSum * rows() + f] = sum;
    statistics[kProduct * rows() + f] = product * line.inverse;  // that of dy and h
    if (!d_in[0]) continue;
    const float factor = line.scale * line.factor * line.inverse;
    kernels().row_gradient(of.row, x, in[0].stride, dy, stride, d_in[0] + f * width,
                           {line.mean, -factor * share * product * line.inverse * line.inverse, -factor * share * sum},
                           factor, accumulate[0]);
  }
}

void BatchNorm::input_gradient(const Backward& tile, Part) const {  // with running statistics, which are constants
  const int32_t all = static_cast<int32_t>(tile.width());
  const BatchRow row{1, tile.vectors, &all, all};
  for (size_t f = 0; f < rows(); ++f) {
    const Line line = line_of(f, nullptr);
    const size_t at = f * tile.width();
    kernels().row_gradient(row, tile.in[0] + at, 0, tile.d_out + at, 0, tile.d_in[0] + at, {line.mean, 0.0f, 0.0f},
                           line.scale * line.inverse, tile.accumulate[0]);
  }
}

void BatchNorm::parameter_gradient_of(const WholeBatch&, const Batch*, const float*, const float* statistics,
                                      const Buffer<float>* gradients, Part part) const {
  if (part.index > 0 || !scale_) return;  // as stretches() has it: who moves them has computed them
  for (size_t f = 0; f < rows(); ++f) {
    const auto at = [&](size_t row) { return statistics[row * rows() + f]; };
    gradients[0][f] = at(kFactor) * at(kProduct) + at(kOffset) * at(kSum);
    gradients[1][f] = at(kSum);
  }
}

void BatchNorm::parameter_gradient(const Backward& tile, const Buffer<float>* gradients, bool accumulate, float*,
                                   Part part) const {  // with running statistics
  if (part.index > 0 || !scale_) return;
  const int32_t all = static_cast<int32_t>(tile.width());
  const BatchRow row{1, tile.vectors, &all, all};
  for (size_t f = 0; f < rows(); ++f) {
    const Line line = line_of(f, nullptr);
    float sum = 0.0f, product = 0.0f;
    kernels().row_products(row, tile.in[0] + f * tile.width(), 0, tile.d_out + f * tile.width(), 0, line.mean, &sum,
                           &product);
    gradients[0][f] = accumulate ? gradients[0][f] + product * line.inverse : product * line.inverse;
    gradients[1][f] = accumulate ? gradients[1][f] + sum : sum;
  }
}

void BatchNorm::act(const float* const* in, float* out, Epilogue epilogue) const {
  for (size_t f = 0; f < rows(); ++f) {
    const Line line = line_of(f, nullptr);
    const float y = line.scale * ((in[0][f] - line.mean) * line.inverse) + line.shift;
    out[f] = epilogue == Epilogue::relu && y <= 0.0f ? 0.0f : y;  // NaN is no 0
  }
}

void BatchNorm::update_statistics(const float* statistics, size_t samples) {
  const float unbiased = samples > 1 ? static_cast<float>(samples) / static_cast<float>(samples - 1) : 1.0f;
  for (size_t f = 0; f < rows(); ++f) {
    mean_.values[f] += momentum_ * (statistics[kMean * rows() + f] - mean_.values[f]);
    variance_.values[f] += momentum_ * (statistics[kVariance * rows() + f] * unbiased - variance_.values[f]);
  }
}

std::unique_ptr<Operation> make_batch_norm(const OperationSpec& spec) {
  spec.require_inputs(1);
  return std::make_unique<BatchNorm>(spec);
}

}  // namespace rewirl
