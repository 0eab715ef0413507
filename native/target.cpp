#include "target.hpp"

#include <algorithm>
#include <stdexcept>

#include "index.hpp"
#include "kernels/cpu.hpp"

namespace rewirl {
namespace {

// For every position whether its unit, a connection or a block, has a value that is not zero.
std::vector<char> alive_units(const Weights& weights, const std::vector<int64_t>& places) {
  std::vector<char> alive(places.size());
  if (weights.height() == 1) {
    for (size_t k = 0; k < places.size(); ++k) alive[k] = weights.values[k] != 0.0f;
    return alive;
  }
  std::vector<uint32_t> order = counted(places.size());
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return weights.unit(places[a]) < weights.unit(places[b]); });
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    bool any = false;
    for (; end < order.size() && weights.unit(places[order[end]]) == weights.unit(places[order[begin]]); ++end)
      any = any || weights.values[order[end]] != 0.0f;
    for (size_t k = begin; k < end; ++k) alive[order[k]] = any;
  }
  return alive;
}

class LinearTarget final : public TargetStep {
 public:
  LinearTarget(Linear& target, const Linear& online, bool stale) : target_(target), online_(online) {
    const Weights &a = *target.weights(), &b = *online.weights();
    if (a.n_in() != b.n_in() || a.n_out() != b.n_out() || a.height() != b.height() ||
        (a.dense() != b.dense() && !(stale && a.dense())))
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
      target_.weights()->keep_largest(cut_, k);
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
    const uint64_t version = online_.version();
    if (online.dense()) {
      version_ = version;
      return;
    }
    std::vector<int64_t> places = online.places();
    const std::vector<int64_t> target_places = target.places();
    const std::vector<uint32_t> online_order = online.row_major(), target_order = target.row_major();
    std::vector<float> values(places.size(), 0.0f);
    std::vector<char> alive(target_places.size(), 1);
    if (renew) alive = alive_units(target, target_places);
    std::vector<uint32_t> stale;  // positions in the target
    size_t shared = 0, o = 0;
    for (const uint32_t t : target_order) {
      while (o < online_order.size() && places[online_order[o]] < target_places[t]) ++o;
      if (o < online_order.size() && places[online_order[o]] == target_places[t]) {
        values[online_order[o]] = target.values[t];
        ++shared;
      } else if (alive[t]) {
        stale.push_back(t);
      }
    }
    if (!renew && shared < places.size())
      throw std::invalid_argument("the target lacks connections of its online network");
    std::stable_sort(stale.begin(), stale.end(), [&](uint32_t a, uint32_t b) {  // blocks side by side
      return online.unit(target_places[a]) < online.unit(target_places[b]);
    });
    for (const uint32_t t : stale) {
      places.push_back(target_places[t]);
      values.push_back(target.values[t]);
    }
    target_.replace(make_weights(online.format(), {target.n_in(), target.n_out(), places.data(), places.size(),
                                                   values.data(), false, nullptr, online.height()}));
    version_ = version;  // last: a failure leaves the target out of date
  }

  Linear& target_;
  const Linear& online_;
  uint64_t version_ = 0;  // of the online topology that the union is of
  Cut cut_;
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
  const auto one = target_.look();
  const auto other = online_.look();
  std::vector<bool> result;
  for (size_t i = 0; i < steps_.size(); ++i)
    if (online_.operations()[i]->weights()) result.push_back(steps_[i]->stale());
  return result;
}

}  // namespace rewirl
