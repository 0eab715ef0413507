// The gradients of a network, and its steps down them.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/cpu.hpp"
#include "network.hpp"

namespace rewirl {
namespace {

// Memory of the thread for the pointers that an operation gets.
struct Pointers {
  std::vector<const float*> in;
  std::vector<float*> d_in;
};
Pointers& pointers(size_t count) {
  thread_local Pointers memory;
  memory.in.resize(count);
  memory.d_in.resize(count);
  return memory;
}

// Another thread may have done a forward with another batch since the caller has looked.
void require_batch(const Workspace& w, const Batch& x) {
  if (x.tiles != w.tiles || x.vectors != w.vectors)
    throw std::invalid_argument("backward needs the batch of the last forward");
}

}  // namespace

// Whether the gradient of a value is needed for those of what was learnt, or for those of the inputs.
bool Network::wanted(size_t value, int32_t inputs_from) const {
  return plan_.learns[value] || (inputs_from >= 0 && plan_.of_input[value]);
}

void Network::backward(Workspace& w, const Batch& x, const float* gradient_out, bool parameters, int32_t inputs_from,
                       Pool* pool) const {
  const auto lock = look();
  const Threads threads(pool);
  require_batch(w, x);
  w.prepare_backward(threads.count);
  if (parameters) w.prepare_gradients();
  const Buffer<float>& pull = w.value_gradients_[static_cast<size_t>(plan_.output)];
  std::copy_n(gradient_out, pull.size(), pull.data());
  run_back(w, x, parameters, inputs_from, threads, [&](size_t i, Part part) {
    if (parameters) parameter_gradient(w, x, i, part);
  });
}

void Network::step(Workspace& w, const Batch& x, const float* gradient_out, const Adam& settings, Pool* pool) {
  const auto lock = change();
  const Threads threads(pool);
  require_batch(w, x);
  w.prepare_backward(threads.count);
  const Buffer<float>& pull = w.value_gradients_[static_cast<size_t>(plan_.output)];
  std::copy_n(gradient_out, pull.size(), pull.data());
  descend(w, x, settings, threads);
}

bool Network::regress(Workspace& w, const Batch& x, size_t samples, const float* targets, const float* weights,
                      float* errors, const Adam& settings, Pool* pool) {
  const auto lock = change();
  const Threads threads(pool);
  w.parts = 1;
  run(w, x, samples, threads);
  w.prepare_backward(threads.count);
  const float* y = w.output().data();
  const Buffer<float>& pull = w.value_gradients_[static_cast<size_t>(plan_.output)];
  for (size_t i = 0; i < pull.size(); ++i) {
    errors[i] = y[i] - targets[i];
    pull[i] = 2.0f * errors[i] * weights[i];
  }
  descend(w, x, settings, threads);
  return std::all_of(errors, errors + pull.size(), [](float error) { return std::isfinite(error); });
}

void Network::classify(Workspace& w, const Batch& x, size_t samples, int parts, const float* targets,
                       const float* weights, float* probability, const Adam& settings, Pool* pool) {
  const auto lock = change();
  const Threads threads(pool);
  w.parts = parts;
  run(w, x, samples, threads);
  w.prepare_backward(threads.count);
  const size_t width = w.width(), bins = static_cast<size_t>(n_out()), tile = bins * width;
  const size_t tiles = static_cast<size_t>(w.tiles / parts);
  const Buffer<float>& pull = w.value_gradients_[static_cast<size_t>(plan_.output)];
  Buffer<float> mean(width);
  for (size_t t = 0; t < tiles; ++t) {
    float* p = probability + t * tile;
    kernels().categorical(n_out(), w.vectors, w.output().data() + t * tile, 0.0f, 0.0f, p, mean.data());
    for (size_t b = 0; b < bins; ++b)
      for (size_t s = 0; s < width; ++s) {
        const size_t at = b * width + s;
        pull[t * tile + at] = (p[at] - targets[t * tile + at]) * weights[t * width + s];
      }
  }
  std::fill(pull.begin() + tiles * tile, pull.end(), 0.0f);
  descend(w, x, settings, threads);
}

void Network::descend(Workspace& w, const Batch& x, const Adam& settings, Threads threads) {
  w.prepare_gradients();
  const AdamStep step = optimiser_.next(settings);
  run_back(w, x, true, -1, threads, [&](size_t i, Part part) {
    parameter_gradient(w, x, i, part);
    optimiser_.move(*operations_[i], w.gradients[i], settings, step, part);
  });
  stepped();
}

void Network::adam(Workspace& w, const Adam& settings, Pool* pool) {
  const auto lock = change();
  w.require_gradients();
  const AdamStep step = optimiser_.next(settings);
  const size_t samples = w.width() * static_cast<size_t>(w.tiles);
  share(multiplications() * samples / 16, pool, [&](Part part) {  // about as long as so many multiplications
    for (size_t i = 0; i < operations_.size(); ++i)
      optimiser_.move(*operations_[i], w.gradients[i], settings, step, part);
  });
  stepped();
}

// Calls `after` for every operation once the gradient of what it makes is there, and that of what it reads does not
// need its weights any more.
void Network::run_back(Workspace& w, const Batch& x, bool parameters, int32_t inputs_from, Threads threads,
                       const After& after) const {
  const size_t width = w.width(), tiles = static_cast<size_t>(w.tiles);
  if (inputs_from >= 0) {
    const size_t n = tiles * static_cast<size_t>(n_in_ - inputs_from) * width;
    if (w.input_gradient.size() != n) w.input_gradient = Buffer<float>(n);
    w.input_gradient_from = inputs_from;
    if (!plan_.input_is_direct && w.value_gradients_[0].size() == 0)
      w.value_gradients_[0] = Buffer<float>(tiles * static_cast<size_t>(n_in_) * width);
  }
  const std::vector<Plan::Stage>& stages = w.batch_statistics ? plan_.stages : plan_.whole;
  const bool alone = threads.count == 1;
  for (size_t s = stages.size(); s-- > 0;) {
    const Plan::Stage& stage = stages[s];
    if (stage.whole_batch) {
      batch_gradient(w, x, stage.begin, inputs_from, parameters, threads);
      if (alone) after(stage.begin, Part{});
    } else if (alone) {  // one operation after the other, while it is in the cache
      for (size_t i = stage.end; i-- > stage.begin;) {
        for (int t = 0; t < w.tiles; ++t) input_gradient(w, x, i, t, inputs_from, nullptr);
        after(i, Part{});
      }
    } else {  // first what depends on each other, then the rest, for which a thread never waits for another
      const auto tile = [&](int t, Threads within) {
        for (size_t i = stage.end; i-- > stage.begin;) input_gradient(w, x, i, t, inputs_from, within);
      };
      if (w.tiles % threads.count == 0) {
        share(stage.multiplications(operations_) * width * tiles, threads, [&](Part part) {
          for (int t = part.index; t < w.tiles; t += part.count) tile(t, nullptr);
        });
      } else {
        for (int t = 0; t < w.tiles; ++t) tile(t, threads);
      }
    }
  }
  if (!alone && parameters)
    share(multiplications() * width * tiles, threads, [&](Part part) {
      for (size_t i = operations_.size(); i-- > 0;) after(i, part);
    });
  if (inputs_from < 0 || plan_.input_is_direct) return;
  const size_t all = static_cast<size_t>(n_in_) * width, from = static_cast<size_t>(inputs_from) * width;
  for (size_t t = 0; t < tiles; ++t)
    std::copy_n(w.value_gradients_[0].data() + t * all + from, all - from, w.input_gradient.data() + t * (all - from));
}

// What an operation needs of a tile; in: room for the values it reads.
Backward Network::backward_tile(const Workspace& w, const Batch& x, size_t i, int t, const float** in) const {
  const Plan::Step& step = plan_.steps[i];
  const size_t tile = static_cast<size_t>(t), width = w.width();
  const auto at = [&](const std::vector<Buffer<float>>& buffers, int32_t value) {
    const size_t v = static_cast<size_t>(value);
    return buffers[v].data() + tile * static_cast<size_t>(plan_.features[v]) * width;
  };
  for (size_t j = 0; j < step.in.size(); ++j) in[j] = step.in[j] == 0 ? x.tile(t) : at(w.values_, step.in[j]);
  const size_t kept = operations_[i]->kept_rows() * width;
  return {w.vectors,
          in,
          at(w.values_, step.out),
          at(w.value_gradients_, step.out),
          nullptr,
          step.accumulate.get(),
          0,
          nullptr,
          kept > 0 ? w.kept_[i].data() + tile * kept : nullptr};
}

void Network::input_gradient(Workspace& w, const Batch& x, size_t i, int t, int32_t inputs_from,
                             Threads threads) const {
  const Plan::Step& step = plan_.steps[i];
  const size_t tile = static_cast<size_t>(t), width = w.width();
  if (step.fused) {  // the ReLU itself, unless the reader of its value has gone through it
    if (step.gate_done || !wanted(static_cast<size_t>(step.out), inputs_from)) return;
    const size_t n = static_cast<size_t>(plan_.features[static_cast<size_t>(step.out)]) * width;
    const float* h = w.values_[static_cast<size_t>(step.out)].data() + tile * n;
    float* d = w.value_gradients_[static_cast<size_t>(step.out)].data() + tile * n;
    for (size_t k = 0; k < n; ++k) d[k] = h[k] <= 0.0f ? 0.0f : d[k];  // NaN is no 0
    return;
  }
  Pointers& p = pointers(step.in.size());
  bool any = false;
  Backward of = backward_tile(w, x, i, t, p.in.data());
  for (size_t j = 0; j < step.in.size(); ++j) {
    const size_t v = static_cast<size_t>(step.in[j]);
    p.d_in[j] = nullptr;
    if (!wanted(v, inputs_from)) continue;
    any = true;
    if (v == 0 && plan_.input_is_direct) {
      of.from = inputs_from;
      p.d_in[j] = w.input_gradient.data() + tile * static_cast<size_t>(n_in_ - inputs_from) * width;
    } else {
      p.d_in[j] = w.value_gradients_[v].data() + tile * static_cast<size_t>(plan_.features[v]) * width;
    }
  }
  if (!any) return;
  of.d_in = p.d_in.data();
  if (step.gated) of.gates = p.in[0];
  share(operations_[i]->multiplications() * width, threads,
        [&](Part part) { operations_[i]->input_gradient(of, part); });
}

// A value of the last forward, all tiles of it.
Batch Network::whole_value(const Workspace& w, const Batch& x, int32_t value) const {
  if (value == 0) return x;
  const size_t v = static_cast<size_t>(value), floats = static_cast<size_t>(plan_.features[v]) * w.width();
  return {w.values_[v].data(), static_cast<ptrdiff_t>(floats), w.tiles, w.vectors};
}

void Network::batch_gradient(Workspace& w, const Batch& x, size_t i, int32_t inputs_from, bool parameters,
                             Threads threads) const {
  const Plan::Step& step = plan_.steps[i];
  std::vector<Batch> in;
  std::vector<float*> d_in;
  bool any = parameters && !operations_[i]->learnables().empty();
  for (const int32_t value : step.in) {
    const size_t v = static_cast<size_t>(value);
    in.push_back(whole_value(w, x, value));
    const bool needed = wanted(v, inputs_from);
    d_in.push_back(needed ? w.value_gradients_[v].data() : nullptr);
    any = any || needed;
  }
  if (!any) return;
  share(batch_work(w, *operations_[i]), threads, [&](Part part) {
    operations_[i]->input_gradient_of(w.batch(), in.data(), w.value_gradients_[static_cast<size_t>(step.out)].data(),
                                      w.statistics_[i].data(), d_in.data(), step.accumulate.get(), part);
  });
}

void Network::parameter_gradient(Workspace& w, const Batch& x, size_t i, Part part) const {
  const Plan::Step& step = plan_.steps[i];
  if (step.fused || w.gradients[i].empty()) return;
  const bool of_batch = w.batch_statistics && w.statistics_[i].size() > 0;
  if (of_batch || operations_[i]->whole_batch_gradient()) {
    std::vector<Batch> in;
    for (const int32_t value : step.in) in.push_back(whole_value(w, x, value));
    operations_[i]->parameter_gradient_of(w.batch(), in.data(),
                                          w.value_gradients_[static_cast<size_t>(step.out)].data(),
                                          of_batch ? w.statistics_[i].data() : nullptr, w.gradients[i].data(), part);
    return;
  }
  Pointers& p = pointers(step.in.size());
  for (int t = 0; t < w.tiles; ++t) {
    const Backward of = backward_tile(w, x, i, t, p.in.data());
    operations_[i]->parameter_gradient(of, w.gradients[i].data(), t > 0,
                                       w.scratch_.data() + w.scratch_floats_ * static_cast<size_t>(part.index), part);
  }
}

void Network::dense_gradient(const Workspace& w, const Batch& x, size_t i, float* out) const {
  const auto lock = look();
  const Weights& weights = *linear(i).weights();
  const size_t columns = (static_cast<size_t>(weights.n_in()) + kPanel - 1) / kPanel * kPanel;
  const Buffer<float> scratch(columns * w.width());
  const float* in = nullptr;
  for (int t = 0; t < w.tiles; ++t) {
    const Backward of = backward_tile(w, x, i, t, &in);
    kernels().dense_gradient(weights.n_out(), weights.n_in(), of.d_out, in, out, w.vectors, 0, weights.n_in(), t > 0,
                             scratch.data());
  }
}

}  // namespace rewirl
