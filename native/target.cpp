#include "target.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/cpu.hpp"

namespace rewirl {

TargetUpdate::TargetUpdate(Mlp& target, const Mlp& online, const std::vector<bool>& behind)
    : target_(target), online_(online) {
  if (!behind.empty() && behind.size() != online.layers.size())
    throw std::invalid_argument("behind needs an entry per layer");
  if (target.layers.size() != online.layers.size()) throw std::invalid_argument("target and online networks differ");
  links_.resize(online.layers.size());
  for (size_t l = 0; l < links_.size(); ++l) {
    const Layer &a = target.layers[l], &b = online.layers[l];
    const bool late = !behind.empty() && behind[l];
    if (a.n_in() != b.n_in() || a.n_out() != b.n_out() || (a.dense() != b.dense() && !(late && a.dense())))
      throw std::invalid_argument("target and online layers differ");
    if (late)
      links_[l].version = b.version - 1;  // not the online one, nor any it will have
    else
      connect(l, false);
  }
}

std::vector<bool> TargetUpdate::behind() const {
  std::vector<bool> result;
  for (size_t l = 0; l < links_.size(); ++l) result.push_back(links_[l].version != online_.layers[l].version);
  return result;
}

// Rebuilds a target layer over the union of the online places and its own: those that are not zero if it is renewed,
// because the online layer was rewired; else all, of which the online ones have to be there.
void TargetUpdate::connect(size_t l, bool renew) {
  Layer& target = target_.layers[l];
  const Layer& online = online_.layers[l];
  links_[l].version = online.version;
  if (online.dense()) return;
  std::vector<int64_t> places = online.places();
  const std::vector<int64_t> target_places = target.places();
  const std::vector<uint32_t> online_order = online.row_major(), target_order = target.row_major();
  std::vector<float> values(places.size(), 0.0f);
  std::vector<uint32_t> stale;  // positions in the target
  size_t found = 0, o = 0;
  for (const uint32_t t : target_order) {
    while (o < online_order.size() && places[online_order[o]] < target_places[t]) ++o;
    if (o < online_order.size() && places[online_order[o]] == target_places[t]) {
      values[online_order[o]] = target.values[t];
      ++found;
    } else if (!renew || target.values[t] != 0.0f) {
      stale.push_back(t);
    }
  }
  if (!renew && found < places.size())
    throw std::invalid_argument("the target lacks connections of its online network");
  for (const uint32_t t : stale) {
    places.push_back(target_places[t]);
    values.push_back(target.values[t]);
  }
  const int64_t none = 0;  // an empty vector may have a null pointer, which would mean dense
  Layer next(target.n_in(), target.n_out(), places.empty() ? &none : places.data(), places.size(), values.data(),
             false);
  std::copy(target.bias.begin(), target.bias.end(), next.bias.begin());
  next.version = target.version + 1;
  target = std::move(next);
}

void TargetUpdate::update(float tau) {
  for (size_t l = 0; l < links_.size(); ++l) {
    Layer& target = target_.layers[l];
    const Layer& online = online_.layers[l];
    if (links_[l].version != online.version) connect(l, true);
    const size_t k = online.connections(), n = target.connections();
    kernels().interpolate(online.bias.size(), target.bias.data(), online.bias.data(), tau);
    kernels().interpolate(k, target.values.data(), online.values.data(), tau);
    if (n > k) {
      kernels().interpolate(n - k, target.values.data() + k, nullptr, tau);
      maintain_sparsity(l);
      // Stale places that are zero for good are worth removing only where they are many, as after pruning.
      const float* stale = target.values.data() + k;
      if ((n - k) * 10 > n && std::all_of(stale, stale + (n - k), [](float w) { return w == 0.0f; })) connect(l, true);
    }
    target.changed();
  }
}

// Keeps the k largest magnitudes; equal ones are kept in the order of their positions.
void TargetUpdate::maintain_sparsity(size_t l) {
  float& limit = links_[l].limit;
  float* w = target_.layers[l].values.data();
  const size_t n = target_.layers[l].connections(), k = online_.layers[l].connections();
  if (candidates_.size() < n + kLane) candidates_ = Buffer<uint32_t>(n + kLane);
  // The limit moves little from one update to the next, so that few weights are near enough to be compared.
  float low = limit * 0.95f, high = limit * 1.05f;
  size_t excess = 0;
  Small small{};
  while (true) {
    small = kernels().small(n, w, low, high, candidates_.data());
    if (n - small.zeros <= k) return;
    excess = n - small.zeros - k;
    if (small.below < excess && excess <= small.below + small.found) break;
    if (small.below >= excess) {
      low = 0.0f;
    } else {
      high = std::max(high * 4.0f, 1e-30f);
      if (!std::isfinite(high)) return;  // weights that are not finite have no order; the caller's checks report them
    }
  }
  const size_t rank = excess - small.below - 1;  // of the largest to go, among the candidates
  magnitudes_.resize(small.found);
  for (size_t c = 0; c < small.found; ++c) magnitudes_[c] = std::fabs(w[candidates_[c]]);
  const auto last = magnitudes_.begin() + static_cast<ptrdiff_t>(rank);
  std::nth_element(magnitudes_.begin(), last, magnitudes_.end());
  limit = *last;
  size_t equal = rank + 1;  // of those equal to the limit so many go, the last ones
  for (size_t c = 0; c < small.found; ++c) equal -= std::fabs(w[candidates_[c]]) < limit;
  for (size_t c = small.found; c-- > 0 && equal > 0;)
    if (std::fabs(w[candidates_[c]]) == limit) w[candidates_[c]] = 0.0f, --equal;
  kernels().cut(n, w, limit);
}

}  // namespace rewirl
