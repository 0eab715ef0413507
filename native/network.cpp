#include "network.hpp"

#include <algorithm>
#include <stdexcept>

#include "kernels/cpu.hpp"

namespace rewirl {
namespace {

std::vector<std::unique_ptr<Operation>> made(int32_t n_in, std::vector<OperationSpec> specs, bool trainable) {
  if (n_in < 1 || n_in > 1 << 24) throw std::invalid_argument("a network has from 1 to 2^24 inputs");
  std::vector<int32_t> features{n_in};
  std::vector<std::unique_ptr<Operation>> operations;
  for (OperationSpec& spec : specs) {
    spec.trainable = trainable;
    for (const int32_t v : spec.inputs) {
      if (v < 0 || static_cast<size_t>(v) >= features.size())
        throw std::invalid_argument("the operation " + spec.name + " reads a value that is not there yet");
      spec.features.push_back(features[static_cast<size_t>(v)]);
    }
    operations.push_back(make_operation(spec));
    features.push_back(operations.back()->features);
  }
  return operations;
}

// Memory of a thread for values in passing, shared by all networks that it runs: what nobody will ask for again should
// not push weights out of the cache.
float* passing(size_t slot, size_t floats) {
  thread_local std::vector<Buffer<float>> memory;
  if (memory.size() <= slot) memory.resize(slot + 1);
  if (memory[slot].size() < floats) memory[slot] = Buffer<float>(floats);
  return memory[slot].data();
}

// Memory of the thread for the pointers that an operation gets.
std::vector<const float*>& pointers(size_t count) {
  thread_local std::vector<const float*> memory;
  memory.resize(count);
  return memory;
}

}  // namespace

Network::Network(int32_t n_in, std::vector<OperationSpec> specs, bool trainable)
    : n_in_(n_in),
      trainable_(trainable),
      operations_(made(n_in, std::move(specs), trainable)),
      plan_(n_in, operations_) {}

size_t Network::index_of(const std::string& operation) const {
  for (size_t i = 0; i < operations_.size(); ++i)
    if (operations_[i]->name == operation) return i;
  throw std::invalid_argument("the network has no operation '" + operation + "'");
}

Linear& Network::linear(size_t operation) const {
  auto* found = dynamic_cast<Linear*>(operations_[operation].get());
  if (!found) throw std::invalid_argument("the operation '" + operations_[operation]->name + "' is not linear");
  return *found;
}

size_t Network::multiplications() const { return plan_.whole[0].multiplications(operations_); }

void Network::forward(Workspace& w, const Batch& x, size_t samples, int parts, Pool* pool) const {
  const auto lock = look();
  w.parts = parts;
  run(w, x, samples, pool);
}

// About as many multiplications as take as long.
size_t Network::batch_work(const Workspace& w, const Operation& operation) {
  return 8 * static_cast<size_t>(operation.features) * w.width() * static_cast<size_t>(w.tiles);
}

// Threads take whole tiles, through all operations of a stage, if there are as many for each; otherwise they share
// every operation of a tile.
void Network::run(Workspace& w, const Batch& x, size_t samples, Threads threads) const {
  w.resize(x.tiles, x.vectors);
  w.samples = samples;
  for (const Plan::Stage& stage : w.batch_statistics ? plan_.stages : plan_.whole) {
    if (stage.whole_batch) {
      const Plan::Step& step = plan_.steps[stage.begin];
      const Operation& operation = *operations_[stage.begin];
      std::vector<Batch> in;
      for (const int32_t v : step.in) in.push_back(whole_value(w, x, v));
      share(batch_work(w, operation), threads, [&](Part part) {
        operation.forward_of(w.batch(), in.data(), w.values_[static_cast<size_t>(step.out)].data(),
                             w.statistics_[stage.begin].data(), step.epilogue, part);
      });
      continue;
    }
    if (w.tiles % threads.count == 0) {
      share(stage.multiplications(operations_) * w.width() * static_cast<size_t>(w.tiles), threads, [&](Part part) {
        for (int t = part.index; t < w.tiles; t += part.count) run_tile(w, x, stage, t, nullptr);
      });
    } else {
      for (int t = 0; t < w.tiles; ++t) run_tile(w, x, stage, t, threads);
    }
  }
}

void Network::run_tile(Workspace& w, const Batch& x, const Plan::Stage& stage, int t, Threads threads) const {
  const auto memory = [&](int32_t value) -> float* {
    const size_t v = static_cast<size_t>(value), floats = static_cast<size_t>(plan_.features[v]) * w.width();
    if (w.whole() || value == plan_.output) return w.values_[v].data() + static_cast<size_t>(t) * floats;
    const size_t slot = static_cast<size_t>(plan_.passing.of[v]);
    return passing(slot, static_cast<size_t>(plan_.passing.features[slot]) * w.width());
  };
  for (size_t i = stage.begin; i < stage.end; ++i) {
    const Plan::Step& step = plan_.steps[i];
    if (step.fused) continue;
    const Operation& operation = *operations_[i];
    std::vector<const float*>& in = pointers(step.in.size());
    for (size_t j = 0; j < step.in.size(); ++j) in[j] = step.in[j] == 0 ? x.tile(t) : memory(step.in[j]);
    const size_t kept = operation.kept_rows() * w.width();
    Forward tile{w.vectors, in.data(), memory(step.out), nullptr, step.epilogue};
    if (kept > 0)
      tile.kept =
          w.keep ? w.kept_[i].data() + static_cast<size_t>(t) * kept : passing(plan_.passing.features.size(), kept);
    share(operation.multiplications() * w.width(), threads, [&](Part part) { operation.forward(tile, part); });
  }
}

void Network::act(const float* x, float* y) const {
  const auto lock = look();
  size_t floats = 0;
  for (const int32_t features : plan_.features) floats += (static_cast<size_t>(features) + kLane - 1) / kLane * kLane;
  thread_local Buffer<float> memory;
  thread_local std::vector<float*> at;
  if (memory.size() < floats) memory = Buffer<float>(floats);
  at.resize(plan_.features.size());
  float* next = memory.data();
  for (size_t v = 0; v < at.size(); ++v) {
    at[v] = next;
    next += (static_cast<size_t>(plan_.features[v]) + kLane - 1) / kLane * kLane;
  }
  std::copy(x, x + n_in_, at[0]);
  at[static_cast<size_t>(plan_.output)] = y;
  for (size_t i = 0; i < operations_.size(); ++i) {
    const Plan::Step& step = plan_.steps[i];
    if (step.fused) continue;
    std::vector<const float*>& in = pointers(step.in.size());
    for (size_t j = 0; j < step.in.size(); ++j) in[j] = at[static_cast<size_t>(step.in[j])];
    operations_[i]->act(in.data(), at[static_cast<size_t>(step.out)], step.epilogue);
  }
}

Buffer<float> Network::predict(const Batch& x) const {
  Workspace w(*this, false, false);
  forward(w, x, 0, 1);
  return w.output();
}

void Network::update_statistics(const Workspace& w) {
  const auto lock = change();
  if (!w.batch_statistics) return;
  for (size_t i = 0; i < operations_.size(); ++i)
    if (w.statistics_[i].size() > 0)
      operations_[i]->update_statistics(w.statistics_[i].data(), w.batch().all_samples());
}

void Network::rewire(size_t operation, const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown) {
  const auto lock = change();
  linear(operation).rewire(dropped, n_dropped, grown, n_grown, static_cast<uint32_t>(optimiser_.steps),
                           optimiser_.ages);
}

void Network::count_ages() {
  const auto lock = change();
  optimiser_.ages = true;
  for (size_t i = 0; i < operations_.size(); ++i)
    if (operations_[i]->weights()) linear(i).count_ages();
}

Learnable& Network::array(size_t operation, const std::string& name) const {
  const Operation& found = *operations_[operation];
  for (const auto& all : {found.learnables(), found.statistics()})
    for (Learnable* learnable : all)
      if (learnable->name == name) return *learnable;
  throw std::invalid_argument("the operation '" + found.name + "' has no array '" + name + "'");
}

void Network::set_values(size_t operation, const std::string& name, const float* values, size_t count) {
  const auto lock = change();
  const Learnable& found = array(operation, name);
  if (found.values.size() != count)
    throw std::invalid_argument("the array has " + std::to_string(found.values.size()) + " numbers, got " +
                                std::to_string(count));
  std::copy_n(values, count, found.values.data());
  operations_[operation]->changed();
}

void Network::stepped() {
  for (const auto& operation : operations_) operation->stepped();
  for (const auto& operation : operations_) operation->changed();
}

}  // namespace rewirl
