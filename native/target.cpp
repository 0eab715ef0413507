#include "target.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/cpu.hpp"

namespace rewirl {
namespace {

class LinearTarget final : public TargetStep {
 public:
  LinearTarget(Linear& target, const Linear& online, bool stale) : target_(target), online_(online) {
    const Weights &a = *target.weights(), &b = *online.weights();
    if (a.n_in() != b.n_in() || a.n_out() != b.n_out() || (a.dense() != b.dense() && !(stale && a.dense())))
      throw std::invalid_argument("target and online layers differ");
    if (stale)
      version_ = online.version() - 1;  // not the online one, nor any it will have
    else
      connect(false);
  }

  void update(float tau) override {
    if (stale()) connect(true);
    const std::vector<Learnable*> from = online_.learnables(), to = target_.learnables();
    for (size_t l = 1; l < from.size(); ++l)
      kernels().interpolate(from[l]->values.size(), to[l]->values.data(), from[l]->values.data(), tau);
    const size_t k = from[0]->values.size(), n = to[0]->values.size();
    float* values = to[0]->values.data();
    kernels().interpolate(k, values, from[0]->values.data(), tau);
    if (n > k) {
      kernels().interpolate(n - k, values + k, nullptr, tau);
      maintain_sparsity();
      // Stale places that are zero for good are worth removing only where they are many, as after pruning.
      if ((n - k) * 10 > n && std::all_of(values + k, values + n, [](float w) { return w == 0.0f; })) connect(true);
    }
    target_.changed();
  }

  bool stale() const override { return version_ != online_.version(); }

 private:
  // Rebuilds the target over the union of the online places and its own: those that are not zero if it is renewed,
  // because the online weights were rewired; else all, of which the online ones have to be there.
  void connect(bool renew) {
    const Weights &target = *target_.weights(), &online = *online_.weights();
    version_ = online_.version();
    if (online.dense()) return;
    std::vector<int64_t> places = online.places();
    const std::vector<int64_t> target_places = target.places();
    const std::vector<uint32_t> online_order = online.row_major(), target_order = target.row_major();
    std::vector<float> values(places.size(), 0.0f);
    std::vector<uint32_t> stale;  // positions in the target
    size_t shared = 0, o = 0;
    for (const uint32_t t : target_order) {
      while (o < online_order.size() && places[online_order[o]] < target_places[t]) ++o;
      if (o < online_order.size() && places[online_order[o]] == target_places[t]) {
        values[online_order[o]] = target.values[t];
        ++shared;
      } else if (!renew || target.values[t] != 0.0f) {
        stale.push_back(t);
      }
    }
    if (!renew && shared < places.size())
      throw std::invalid_argument("the target lacks connections of its online network");
    for (const uint32_t t : stale) {
      places.push_back(target_places[t]);
      values.push_back(target.values[t]);
    }
    target_.replace(make_weights(online.format(),
                                 {target.n_in(), target.n_out(), places.data(), places.size(), values.data(), false}));
  }

  // Keeps the k largest magnitudes; equal ones are kept in the order of their positions.
  void maintain_sparsity() {
    float* w = target_.weights()->values.data();
    const size_t n = target_.weights()->connections(), k = online_.weights()->connections();
    if (candidates_.size() < n + kLane) candidates_ = Buffer<uint32_t>(n + kLane);
    // The limit moves little from one update to the next, so that few weights are near enough to be compared.
    float low = limit_ * 0.95f, high = limit_ * 1.05f;
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
    limit_ = *last;
    size_t equal = rank + 1;  // of those equal to the limit so many go, the last ones
    for (size_t c = 0; c < small.found; ++c) equal -= std::fabs(w[candidates_[c]]) < limit_;
    for (size_t c = small.found; c-- > 0 && equal > 0;)
      if (std::fabs(w[candidates_[c]]) == limit_) w[candidates_[c]] = 0.0f, --equal;
    kernels().cut(n, w, limit_);
  }

  Linear& target_;
  const Linear& online_;
  uint64_t version_ = 0;  // of the online topology that the union is of
  float limit_ = 0.0f;    // of the magnitudes that the last cut zeroed
  Buffer<uint32_t> candidates_;
  std::vector<float> magnitudes_;
};

}  // namespace

std::unique_ptr<TargetStep> follow_linear(Linear& target, const Linear& online, bool stale) {
  return std::make_unique<LinearTarget>(target, online, stale);
}

TargetUpdate::TargetUpdate(Network& target, const Network& online, const std::vector<bool>& stale)
    : target_(target), online_(online) {
  const auto one = target.change();
  const auto other = online.look();
  if (target.n_in() != online.n_in() || target.operations().size() != online.operations().size())
    throw std::invalid_argument("target and online networks differ");
  size_t linear = 0;
  for (size_t i = 0; i < online.operations().size(); ++i) {
    const Operation& followed = *online.operations()[i];
    bool late = false;
    if (followed.weights()) {
      if (!stale.empty() && linear >= stale.size()) throw std::invalid_argument("stale needs an entry per layer");
      late = !stale.empty() && stale[linear];
      ++linear;
    }
    steps_.push_back(target.operations()[i]->follow(followed, late));
  }
  if (!stale.empty() && stale.size() != linear) throw std::invalid_argument("stale needs an entry per layer");
}

void TargetUpdate::update(float tau) {
  const auto one = target_.change();
  const auto other = online_.look();
  for (const auto& step : steps_) step->update(tau);
}

std::vector<bool> TargetUpdate::stale() const {
  const auto other = online_.look();
  std::vector<bool> result;
  for (size_t i = 0; i < steps_.size(); ++i)
    if (online_.operations()[i]->weights()) result.push_back(steps_[i]->stale());
  return result;
}

}  // namespace rewirl
