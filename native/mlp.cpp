#include "mlp.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/cpu.hpp"

namespace rewirl {

Mlp::Mlp(std::vector<Layer> given) : layers(std::move(given)) {
  int32_t widest = 0;
  for (size_t l = 0; l < layers.size(); ++l) {
    if (l > 0 && layers[l].n_in() != layers[l - 1].n_out())
      throw std::invalid_argument("layer sizes do not fit together");
    widest = std::max({widest, layers[l].n_out(), layers[l].n_in()});
  }
  activations_.resize(layers.size());
  deltas_.resize(layers.size());
  for (Buffer<float>& buffer : single_) buffer = Buffer<float>(static_cast<size_t>(widest));
}

void Mlp::resize(int new_tiles, int new_vectors) {
  if (new_tiles == tiles && new_vectors == vectors) return;
  tiles = new_tiles;
  vectors = new_vectors;
  const size_t width = static_cast<size_t>(kLane) * vectors;
  const bool trainable = layers.front().trainable();
  size_t panels = 0;
  for (size_t l = 0; l < layers.size(); ++l) {
    const size_t n_out = static_cast<size_t>(layers[l].n_out()), n_in = static_cast<size_t>(layers[l].n_in());
    if (trainable || l + 1 == layers.size())
      activations_[l] = Buffer<float>(static_cast<size_t>(tiles) * n_out * width);
    if (layers[l].dense()) panels = std::max(panels, (n_in + kPanel - 1) / kPanel * kPanel);
  }
  if (!trainable) return;
  for (size_t l = 0; l < layers.size(); ++l) deltas_[l] = Buffer<float>(activations_[l].size());
  scratch_floats_ = panels * width;
  scratch_ = Buffer<float>();
}

// Memory for the hidden activations of one tile of a network that is not trained, shared by all that a thread runs:
// what nobody will ask for again should not push weights out of the cache.
float* passing(size_t which, size_t floats) {
  thread_local Buffer<float> memory[2];
  if (memory[which].size() < floats) memory[which] = Buffer<float>(floats);
  return memory[which].data();
}

// Calls operation(Part) once per thread of the pool; for what takes only microseconds, once.
template <class Operation>
void Mlp::share(size_t multiplications, Pool* pool, const Operation& operation) const {
  constexpr size_t kWorthSharing = 2048 * 112;  // a hand-over takes a microsecond or two
  if (!pool || pool->threads() == 1 || multiplications < kWorthSharing) {
    operation(Part{});
    return;
  }
  const int threads = pool->threads();
  pool->run(threads, [&](int i) { operation(Part{i, threads}); });
}

size_t Mlp::multiplications() const {
  size_t connections = 0;
  for (const Layer& layer : layers) connections += layer.connections();
  return connections * static_cast<size_t>(tiles) * static_cast<size_t>(kLane) * static_cast<size_t>(vectors);
}

// Threads take whole tiles, through all layers, if there are as many for each; otherwise they share every layer of a
// tile.
void Mlp::forward(const Batch& x, Pool* pool) {
  resize(x.tiles, x.vectors);
  for (Layer& layer : layers) layer.arrange();
  if (pool && tiles % pool->threads() == 0) {
    share(multiplications(), pool, [&](Part part) {
      for (int t = part.index; t < tiles; t += part.count) forward_tile(x, t, nullptr);
    });
  } else {
    for (int t = 0; t < tiles; ++t) forward_tile(x, t, pool);
  }
}

void Mlp::forward_tile(const Batch& x, int t, Pool* pool) {
  const float* in = x.tile(t);
  for (size_t l = 0; l < layers.size(); ++l) {
    const bool last = l + 1 == layers.size();
    const size_t floats = static_cast<size_t>(layers[l].n_out()) * x.width();
    float* out = last || layers[l].trainable() ? activations_[l].data() + t * floats : passing(l % 2, floats);
    share(layers[l].connections() * x.width(), pool,
          [&](Part part) { layers[l].forward(in, out, vectors, !last, part); });
    in = out;
  }
}

void Mlp::backward(const Batch& x, const float* gradient_out, bool parameters, int32_t inputs_from, Pool* pool,
                   const Adam* settings) {
  const size_t width = static_cast<size_t>(x.width());
  const size_t first = inputs_from >= 0 ? 0 : 1;  // layer whose inputs need a gradient
  if (inputs_from >= 0) {
    const size_t n = static_cast<size_t>(tiles) * (layers[0].n_in() - inputs_from) * width;
    if (input_gradient.size() != n) input_gradient = Buffer<float>(n);
    input_gradient_from = inputs_from;
  }
  if (gradient_out != deltas_.back().data()) std::copy_n(gradient_out, deltas_.back().size(), deltas_.back().data());
  const size_t scratch = scratch_floats_ * static_cast<size_t>(pool ? pool->threads() : 1);
  if (scratch_.size() < scratch) scratch_ = Buffer<float>(scratch);
  AdamStep step{};
  if (settings) step = next_step(*settings);
  const auto update = [&](size_t l, Part part) {
    if (parameters) connection_gradient(x, l, part);
    if (settings) step_layer(layers[l], step, part);
  };
  if (!pool || pool->threads() == 1) {  // one layer after the other, while it is in the cache
    for (size_t l = layers.size(); l-- > 0;) {
      for (int t = 0; t < tiles && l >= first; ++t) input_gradient_tile(x, l, t, inputs_from, nullptr);
      update(l, Part{});
    }
  } else {  // first what depends on each other, then the rest, for which a thread never waits for another
    const auto tile = [&](int t, Pool* within) {
      for (size_t l = layers.size(); l-- > first;) input_gradient_tile(x, l, t, inputs_from, within);
    };
    if (tiles % pool->threads() == 0) {
      share(multiplications(), pool, [&](Part part) {
        for (int t = part.index; t < tiles; t += part.count) tile(t, nullptr);
      });
    } else {
      for (int t = 0; t < tiles; ++t) tile(t, pool);
    }
    if (parameters)
      share(multiplications(), pool, [&](Part part) {
        for (size_t l = layers.size(); l-- > 0;) update(l, part);
      });
  }
  if (settings)
    for (Layer& layer : layers) layer.changed();
}

void Mlp::input_gradient_tile(const Batch& x, size_t l, int t, int32_t inputs_from, Pool* pool) {
  const Layer& layer = layers[l];
  const int32_t from = l > 0 ? 0 : inputs_from;
  const size_t width = static_cast<size_t>(x.width()), outs = static_cast<size_t>(layer.n_out()) * width;
  const size_t wanted = static_cast<size_t>(layer.n_in() - from) * width;
  const float* delta = deltas_[l].data() + t * outs;
  float* out = (l > 0 ? deltas_[l - 1].data() : input_gradient.data()) + t * wanted;
  const float* gates = l > 0 ? activations_[l - 1].data() + t * wanted : nullptr;
  share(layer.connections() * width, pool,
        [&](Part part) { layer.input_gradient(delta, out, vectors, from, gates, part); });
}

void Mlp::connection_gradient(const Batch& x, size_t l, Part part) {
  const Layer& layer = layers[l];
  const size_t width = static_cast<size_t>(x.width()), outs = static_cast<size_t>(layer.n_out()) * width;
  const size_t ins = static_cast<size_t>(layer.n_in()) * width;
  for (int t = 0; t < tiles; ++t) {
    const float* in = l == 0 ? x.tile(t) : activations_[l - 1].data() + t * ins;
    const float* delta = deltas_[l].data() + t * outs;
    layer.connection_gradient(delta, in, vectors, t > 0,
                              scratch_.data() + scratch_floats_ * static_cast<size_t>(part.index), part);
  }
}

void Mlp::dense_gradient(const Batch& x, size_t l, float* out) {
  const Layer& layer = layers[l];
  const size_t width = static_cast<size_t>(x.width()), outs = static_cast<size_t>(layer.n_out()) * width;
  const size_t ins = static_cast<size_t>(layer.n_in()) * width;
  Buffer<float> scratch((static_cast<size_t>(layer.n_in()) + kPanel - 1) / kPanel * kPanel * width);
  for (int t = 0; t < tiles; ++t)
    kernels().dense_gradient(layer.n_out(), layer.n_in(), deltas_[l].data() + t * outs,
                             l == 0 ? x.tile(t) : activations_[l - 1].data() + t * ins, out, vectors, 0, layer.n_in(),
                             t > 0, scratch.data());
}

void Mlp::regress(const Batch& x, const float* targets, const float* weights, float* errors, const Adam& step) {
  forward(x);
  const float* y = output().data();
  Buffer<float>& pull = deltas_.back();
  for (size_t i = 0; i < pull.size(); ++i) {
    errors[i] = y[i] - targets[i];
    pull[i] = 2.0f * errors[i] * weights[i];
  }
  backward(x, pull.data(), true, -1, nullptr, &step);
}

namespace {

constexpr uint32_t kOldest = 16384;  // beyond this age the bias correction of beta2 = 0.999 is below float precision

float corrected_step_size(const Adam& s, double t) {
  return static_cast<float>(s.learning_rate / (1.0 - std::pow(static_cast<double>(s.beta1), t)));
}
float inverse_root(const Adam& s, double t) {
  return static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(static_cast<double>(s.beta2), t)));
}

}  // namespace

void Mlp::rewire(size_t l, const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown) {
  layers[l].rewire(dropped, n_dropped, grown, n_grown, static_cast<uint32_t>(steps));
  if (ages_) count_ages();  // of a layer that was dense
}

void Mlp::count_ages() {
  ages_ = true;
  for (Layer& l : layers)
    if (!l.dense() && l.born.size() == 0) l.born = Buffer<uint32_t>(l.connections());
}

void Mlp::tabulate(const Adam& s) {
  if (step_size_.size() > 0 && s.learning_rate == tabulated_.learning_rate && s.beta1 == tabulated_.beta1 &&
      s.beta2 == tabulated_.beta2)
    return;
  tabulated_ = s;
  step_size_ = Buffer<float>(kOldest + 1);
  inverse_root_c2_ = Buffer<float>(kOldest + 1);
  for (uint32_t age = 1; age <= kOldest; ++age) {
    step_size_[age] = corrected_step_size(s, age);
    inverse_root_c2_[age] = inverse_root(s, age);
  }
}

AdamStep Mlp::next_step(const Adam& s) {
  ++steps;
  if (ages_) tabulate(s);
  const double t = static_cast<double>(steps);
  return {corrected_step_size(s, t), inverse_root(s, t), s.beta1, s.beta2, s.epsilon, s.weight_decay};
}

void Mlp::adam(const Adam& settings, Pool* pool) {
  const AdamStep step = next_step(settings);
  share(multiplications() / 16, pool, [&](Part part) {  // about as long as so many multiplications
    for (Layer& layer : layers) step_layer(layer, step, part);
  });
  for (Layer& layer : layers) layer.changed();
}

void Mlp::step_layer(Layer& l, const AdamStep& step, Part part) {
  l.stretches(part, [&](size_t begin, size_t end) {
    float *w = l.values.data() + begin, *g = l.gradient.data() + begin, *m = l.m.data() + begin,
          *v = l.v.data() + begin;
    if (l.born.size() > 0)
      kernels().adam_by_age(end - begin, w, g, m, v, step, l.born.data() + begin, static_cast<uint32_t>(steps),
                            step_size_.data(), inverse_root_c2_.data(), kOldest + 1);
    else
      kernels().adam(end - begin, w, g, m, v, step);
  });
  const size_t panel = l.panel(), begin = static_cast<size_t>(part.begin(l.n_out(), panel)),
               end = static_cast<size_t>(part.end(l.n_out(), panel));
  kernels().adam(end - begin, l.bias.data() + begin, l.bias_gradient.data() + begin, l.bias_m.data() + begin,
                 l.bias_v.data() + begin, step);
}

void Mlp::act(const float* x, float* y) {
  float* in = single_[1].data();
  std::copy(x, x + layers.front().n_in(), in);
  for (size_t l = 0; l < layers.size(); ++l) {
    const bool last = l + 1 == layers.size();
    float* out = last ? y : single_[l % 2].data();
    layers[l].act(in, out, !last);
    in = out;
  }
}

}  // namespace rewirl
