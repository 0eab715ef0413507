#include "operations/linear.hpp"

#include <stdexcept>

#include "kernels/cpu.hpp"
#include "operations/operations.hpp"
#include "target.hpp"

namespace rewirl {

Linear::Linear(const OperationSpec& spec)
    : Operation(spec, spec.count("n_out")), unit_norm_(spec.numbers.count("unit_norm") && spec.flag("unit_norm")) {
  weights_ =
      make_weights(spec.format, {spec.features[0], features, spec.places, spec.connections, spec.values, spec.trainable,
                                 nullptr, spec.numbers.count("height") ? spec.count("height") : 1,
                                 spec.numbers.count("by_row") && spec.flag("by_row")});
  if (spec.flag("bias")) bias_ = std::make_unique<Learnable>("bias", static_cast<size_t>(features), spec.trainable);
}

void Linear::forward(const Forward& tile, Part part) const {
  weights_->forward(tile.in[0], tile.out, tile.vectors, bias(), tile.epilogue, part);
}

void Linear::input_gradient(const Backward& tile, Part part) const {
  if (!tile.accumulate[0])
    return weights_->input_gradient(tile.d_out, tile.d_in[0], tile.vectors, tile.from, tile.gates, part);
  thread_local Buffer<float> own;
  const size_t width = tile.width(), rows = static_cast<size_t>(weights_->n_in() - tile.from);
  if (own.size() < rows * width) own = Buffer<float>(rows * width);
  weights_->input_gradient(tile.d_out, own.data(), tile.vectors, tile.from, tile.gates, part);
  const size_t begin = static_cast<size_t>(part.begin(static_cast<int64_t>(rows))) * width;
  const size_t end = static_cast<size_t>(part.end(static_cast<int64_t>(rows))) * width;
  for (size_t i = begin; i < end; ++i) tile.d_in[0][i] += own[i];
}

void Linear::parameter_gradient(const Backward& tile, const Buffer<float>* gradients, bool accumulate, float* scratch,
                                Part part) const {
  weights_->weight_gradient(tile.d_out, tile.in[0], gradients[0].data(), tile.vectors, accumulate, scratch, part);
  if (bias_) bias_gradient(tile.d_out, tile.vectors, gradients[1].data(), accumulate, part);
}

void Linear::parameter_gradient_of(const WholeBatch& batch, const Batch* in, const float* d_out, const float*,
                                   const Buffer<float>* gradients, Part part) const {
  weights_->batch_gradient(d_out, in[0], gradients[0].data(), part);
  if (!bias_) return;
  for (int t = 0; t < batch.tiles; ++t)
    bias_gradient(d_out + static_cast<size_t>(t) * static_cast<size_t>(features) * batch.width(), batch.vectors,
                  gradients[1].data(), t > 0, part);
}

void Linear::bias_gradient(const float* d_out, int vectors, float* gradient, bool accumulate, Part part) const {
  const int begin = static_cast<int>(part.begin(features, weights_->panel()));
  const int end = static_cast<int>(part.end(features, weights_->panel()));
  kernels().row_sums(end - begin, d_out + static_cast<ptrdiff_t>(begin) * kLane * vectors, gradient + begin, vectors,
                     accumulate);
}

void Linear::act(const float* const* in, float* out, Epilogue epilogue) const {
  weights_->act(in[0], out, bias(), epilogue == Epilogue::relu);
}

void Linear::act_gradient(const float* const*, const float*, const float* d_out, float* const* d_in) const {
  if (d_in[0]) weights_->pull(d_out, d_in[0]);
}

double Linear::trace(const float* const* in, const float* d_out, float decay) const {
  const double sum = weights_->trace(d_out, in[0], decay);
  const float one = 1.0f;
  return bias_ ? sum + kernels().trace(1, features, &one, d_out, decay, bias_->m.data()) : sum;
}

std::vector<Learnable*> Linear::learnables() const {
  if (bias_) return {weights_.get(), bias_.get()};
  return {weights_.get()};
}

void Linear::stretches(Part part, const std::function<void(size_t, size_t, size_t)>& visit) const {
  weights_->stretches(part, [&](size_t begin, size_t end) { visit(0, begin, end); });
  if (bias_)
    visit(1, static_cast<size_t>(part.begin(features, weights_->panel())),
          static_cast<size_t>(part.end(features, weights_->panel())));
}

void Linear::rewire(const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown, uint32_t step,
                    bool ages) {
  std::unique_ptr<Weights> next = weights_->rewired(dropped, n_dropped, grown, n_grown, step, ages);
  if (!next) return;
  replace(std::move(next));
  stepped();
  changed();
}

void Linear::stepped() {
  if (unit_norm_) weights_->unit_rows();
}

void Linear::count_ages() {
  for (Learnable* l : learnables())
    if (l->born.size() == 0) l->born = Buffer<uint32_t>(l->values.size());
}

void Linear::replace(std::unique_ptr<Weights> weights) {
  weights_ = std::move(weights);
  ++version_;
}

std::unique_ptr<TargetStep> Linear::follow(const Operation& online, bool stale) {
  const auto* followed = dynamic_cast<const Linear*>(&online);
  if (!followed || inputs != online.inputs || learnables().size() != online.learnables().size())
    throw std::invalid_argument("target and online operations differ");
  return follow_linear(*this, *followed, stale);
}

std::unique_ptr<Operation> make_linear(const OperationSpec& spec) {
  spec.require_inputs(1);
  return std::make_unique<Linear>(spec);
}

}  // namespace rewirl
