#include "stream.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/cpu.hpp"

namespace rewirl {
namespace {

Buffer<float> room(int32_t features) {  // for whole vectors
  return Buffer<float>((static_cast<size_t>(features) + kLane - 1) / kLane * kLane);
}

void require_streams(const Operation& operation) {
  if (!operation.streams())
    throw std::invalid_argument("the operation '" + operation.name + "' (" + operation.kind() +
                                (operation.weights() ? std::string(", ") + operation.weights()->format() : "") +
                                ") does not learn from a single sample");
}

}  // namespace

Stream::Stream(Network& network) : network_(network) {
  if (!network.trainable()) throw std::invalid_argument("a network that is not trainable does not learn");
  values_.push_back(room(network.n_in()));
  gradients_.emplace_back();
  for (const auto& operation : network.operations()) {
    values_.push_back(room(operation->features));
    gradients_.push_back(room(operation->features));
    in_.emplace_back();
    d_in_.emplace_back();
    for (const int32_t value : operation->inputs) {
      in_.back().push_back(values_[static_cast<size_t>(value)].data());
      d_in_.back().push_back(gradients_[static_cast<size_t>(value)].data());
    }
    if (auto* linear = dynamic_cast<Linear*>(operation.get())) linear_.push_back(linear);
  }
  look_up();
}

// After a rewiring weights are others, and may have another format.
void Stream::look_up() {
  std::vector<Learnable*> learnables;
  std::vector<uint64_t> versions;
  for (const auto& operation : network_.operations()) {
    require_streams(*operation);
    for (Learnable* learnable : operation->learnables()) learnables.push_back(learnable);
  }
  for (const Linear* linear : linear_) versions.push_back(linear->version());
  learnables_.swap(learnables);
  versions_.swap(versions);
}

void Stream::forward(const float* x) {
  const auto lock = network_.look();
  std::copy_n(x, network_.n_in(), values_[0].data());
  const auto& operations = network_.operations();
  for (size_t i = 0; i < operations.size(); ++i)
    operations[i]->act(in_[i].data(), values_[i + 1].data(), Epilogue::none);
}

double Stream::step(const float* d_out, float error, const ObGD& settings) {
  const auto lock = network_.change();
  const auto& operations = network_.operations();
  for (size_t i = 0; i < linear_.size(); ++i)
    if (linear_[i]->version() != versions_[i]) {
      look_up();
      break;
    }
  for (size_t v = 1; v + 1 < gradients_.size(); ++v) std::fill(gradients_[v].begin(), gradients_[v].end(), 0.0f);
  std::copy_n(d_out, network_.n_out(), gradients_.back().data());
  double size = 0.0;
  for (size_t i = operations.size(); i-- > 0;) {
    const Operation& operation = *operations[i];
    const float *out = values_[i + 1].data(), *d = gradients_[i + 1].data();
    operation.act_gradient(in_[i].data(), out, d, d_in_[i].data());
    size += operation.trace(in_[i].data(), d, settings.decay);
  }
  const double bound =
      static_cast<double>(settings.learning_rate) * settings.kappa * std::max(std::fabs(error), 1.0f) * size;
  const double step = settings.learning_rate / (bound > 1.0 ? bound : 1.0);
  const float scale = static_cast<float>(step * error);
  for (const Learnable* l : learnables_) {
    kernels().add_scaled(l->values.size(), scale, l->m.data(), l->values.data());
    if (settings.reset) std::fill(l->m.begin(), l->m.end(), 0.0f);
  }
  network_.count_step();
  return step;
}

}  // namespace rewirl
