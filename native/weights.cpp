#include "weights.hpp"

#include <cmath>
#include <stdexcept>

namespace rewirl {

Weights::Weights(const WeightsSpec& spec)
    : Learnable("values", spec.connections, spec.trainable),
      n_in_(spec.n_in),
      n_out_(spec.n_out),
      height_(spec.height),
      by_row_(spec.by_row),
      trainable_(spec.trainable) {
  if (spec.height < 1 || spec.height > kMaxHeight)
    throw std::invalid_argument("blocks are from 1 to " + std::to_string(kMaxHeight) + " outputs high, got " +
                                std::to_string(spec.height));
}

int64_t Weights::unit(int64_t place) const {
  if (height_ <= 1) return place;
  return (place / n_in_ / height_ * n_in_ + place % n_in_) * height_;
}

void Weights::unit_rows() {
  const std::vector<int64_t> all = places();
  std::vector<float> factor(static_cast<size_t>(n_out_), 0.0f);
  for (size_t k = 0; k < all.size(); ++k) factor[static_cast<size_t>(all[k] / n_in_)] += values[k] * values[k];
  for (float& f : factor) f = f > 0.0f ? 1.0f / std::sqrt(f) : 1.0f;
  for (size_t k = 0; k < all.size(); ++k) values[k] *= factor[static_cast<size_t>(all[k] / n_in_)];
}

void Weights::batch_gradient(const float*, const Batch&, float*, Part) const {
  throw std::logic_error("these weights take their gradient tile by tile");
}

void Weights::pull(const float*, float*) const {
  throw std::logic_error("these weights do not learn from a single sample");
}

float Weights::trace(const float*, const float*, float) const {
  throw std::logic_error("these weights do not learn from a single sample");
}

std::unique_ptr<Weights> Weights::rewired(const int64_t* dropped, size_t n_dropped, const int64_t* grown,
                                          size_t n_grown, uint32_t step, bool ages) const {
  if (!trainable_)
    throw std::invalid_argument("a layer of a target network follows its online layer; it is not rewired");
  const size_t n = connections();
  std::vector<char> keep(n, 1);
  for (size_t i = 0; i < n_dropped; ++i) {
    if (dropped[i] < 0 || static_cast<size_t>(dropped[i]) >= n || !keep[static_cast<size_t>(dropped[i])])
      throw std::invalid_argument("dropped connection " + std::to_string(dropped[i]) +
                                  " is out of range or named twice");
    keep[static_cast<size_t>(dropped[i])] = 0;
  }
  const std::vector<int64_t> old_places = places();
  std::vector<int64_t> new_places;
  std::vector<size_t> source;  // position of a survivor in the old arrays; n for a grown connection
  std::vector<float> new_values;
  new_places.reserve(n - n_dropped + n_grown);
  source.reserve(n - n_dropped + n_grown);
  new_values.reserve(n - n_dropped + n_grown);
  for (size_t k = 0; k < n; ++k)
    if (keep[k]) {
      new_places.push_back(old_places[k]);
      new_values.push_back(values[k]);
      source.push_back(k);
    }
  for (size_t i = 0; i < n_grown; ++i) {
    new_places.push_back(grown[i]);
    new_values.push_back(0.0f);
    source.push_back(n);
  }
  std::vector<uint32_t> order;
  std::unique_ptr<Weights> next = make_weights(
      format_when_rewired(),
      {n_in_, n_out_, new_places.data(), new_places.size(), new_values.data(), trainable_, &order, height_, by_row_});
  const auto move = [&](const auto& from, auto& to, auto initial) {
    if (from.size() == 0) return;
    if (to.size() == 0) to = std::decay_t<decltype(to)>(order.size());
    for (size_t k = 0; k < order.size(); ++k) to[k] = source[order[k]] == n ? initial : from[source[order[k]]];
  };
  move(m, next->m, 0.0f);
  move(v, next->v, 0.0f);
  if (!ages) return next;
  if (next->born.size() == 0) next->born = Buffer<uint32_t>(order.size());
  for (size_t k = 0; k < order.size(); ++k) {
    const size_t from = source[order[k]];
    next->born[k] = from == n ? step : born.size() > 0 ? born[from] : 0;
  }
  return next;
}

}  // namespace rewirl
