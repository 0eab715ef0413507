#include "workspace.hpp"

#include <algorithm>
#include <stdexcept>

#include "network.hpp"

namespace rewirl {
namespace {

uint64_t version_of(const Operation& operation) {
  const auto* linear = operation.weights() ? dynamic_cast<const Linear*>(&operation) : nullptr;
  return linear ? linear->version() : 0;
}

}  // namespace

Workspace::Workspace(const Network& of, bool keep, bool batch_statistics, bool keep_gradients)
    : network(of), keep(keep), batch_statistics(batch_statistics && of.needs_batch()), keep_gradients(keep_gradients) {
  const size_t count = of.operations().size();
  values_.resize(count + 1);
  value_gradients_.resize(count + 1);
  kept_.resize(count);
  statistics_.resize(count);
  gradients.resize(count);
  versions_.resize(count, 0);
}

const Buffer<float>& Workspace::output() const { return values_[static_cast<size_t>(network.plan().output)]; }

const Buffer<float>& Workspace::value(size_t operation) const {
  return values_[static_cast<size_t>(network.plan().steps[operation].out)];
}

bool Workspace::gradients_computed() const {
  return value_gradients_[static_cast<size_t>(network.plan().output)].size() > 0;
}

void Workspace::resize(int new_tiles, int new_vectors) {
  if (new_tiles == tiles && new_vectors == vectors) return;
  tiles = new_tiles;
  vectors = new_vectors;
  ++generation;
  try {
    allocate();
  } catch (...) {  // it is not ready for any batch
    tiles = vectors = 0;
    throw;
  }
}

void Workspace::allocate() {
  const Plan& plan = network.plan();
  const size_t of_feature = static_cast<size_t>(tiles) * width();
  const auto sized = [&](int32_t features) { return Buffer<float>(of_feature * static_cast<size_t>(features)); };
  std::vector<Buffer<float>> shared;
  if (!keep && batch_statistics)
    for (const int32_t features : plan.whole_values.features) shared.push_back(sized(features));
  for (size_t v = 1; v < values_.size(); ++v) {
    if (!plan.stored[v]) continue;
    if (keep || static_cast<int32_t>(v) == plan.output)
      values_[v] = sized(plan.features[v]);
    else if (batch_statistics)
      values_[v] = shared[static_cast<size_t>(plan.whole_values.of[v])];
  }
  for (Buffer<float>& gradient : value_gradients_) gradient = Buffer<float>();
  input_gradient = Buffer<float>();
  scratch_ = Buffer<float>();
  for (size_t i = 0; i < kept_.size(); ++i) {
    const Operation& operation = *network.operations()[i];
    if (keep && operation.kept_rows() > 0) kept_[i] = Buffer<float>(of_feature * operation.kept_rows());
    if (batch_statistics && operation.batch_statistics() > 0 && statistics_[i].size() == 0)
      statistics_[i] = Buffer<float>(operation.batch_statistics());
  }
}

void Workspace::prepare_backward(int threads) {
  const Plan& plan = network.plan();
  const size_t of_feature = static_cast<size_t>(tiles) * width();
  // Threads that share a network compute the gradients of parameters last, from those of all values.
  const bool share = !keep_gradients && threads == 1;
  if (value_gradients_[static_cast<size_t>(plan.output)].size() == 0 || share != gradients_share_) {
    const Plan::Slots& slots = plan.gradients[batch_statistics];
    std::vector<Buffer<float>> shared;
    for (size_t s = 0; share && s < slots.features.size(); ++s)
      shared.emplace_back(of_feature * static_cast<size_t>(slots.features[s]));
    for (size_t v = 1; v < values_.size(); ++v) {
      if (!plan.stored[v]) continue;
      const size_t floats = of_feature * static_cast<size_t>(plan.features[v]);
      value_gradients_[v] =
          share ? Buffer<float>(shared[static_cast<size_t>(slots.of[v])].share(), floats) : Buffer<float>(floats);
    }
    gradients_share_ = share;
  }
  size_t rows = 0;
  for (const auto& operation : network.operations()) rows = std::max(rows, operation->scratch_rows());
  scratch_floats_ = rows * width();
  const size_t scratch = scratch_floats_ * static_cast<size_t>(threads);
  if (scratch_.size() < scratch) scratch_ = Buffer<float>(scratch);
}

void Workspace::prepare_gradients() {
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Operation& operation = *network.operations()[i];
    const std::vector<Learnable*> learnables = operation.learnables();
    if (gradients[i].size() == learnables.size() && versions_[i] == version_of(operation)) continue;
    std::vector<Buffer<float>> ready(learnables.size());
    for (size_t k = 0; k < learnables.size(); ++k) {
      const bool there = k > 0 && k < gradients[i].size() && gradients[i][k].size() > 0;
      ready[k] = there ? std::move(gradients[i][k]) : Buffer<float>(learnables[k]->values.size());
    }
    gradients[i] = std::move(ready);
    versions_[i] = version_of(operation);  // last: a failure leaves them out of date
  }
}

void Workspace::require_gradients() const {
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Operation& operation = *network.operations()[i];
    if (gradients[i].size() != operation.learnables().size() || versions_[i] != version_of(operation))
      throw std::invalid_argument("there are no gradients, or they are of the topology before a rewiring");
  }
}

}  // namespace rewirl
