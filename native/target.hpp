// Target networks: the soft update, and what keeps a target as sparse as its online network.
#pragma once
#include <memory>
#include <vector>

#include "network.hpp"
#include "operations/linear.hpp"

namespace rewirl {

// Moves a target network towards its online network, operation by operation (Sokar et al. 2022, Algorithm 1).
class TargetUpdate {
 public:
  // stale[l]: the l-th linear operation of the online network has been rewired since the last update, so what the
  // target has of it is to be renewed at the next. Empty: a new target, a copy of the online network.
  TargetUpdate(Network& target, const Network& online, const std::vector<bool>& stale);
  TargetUpdate(const TargetUpdate&) = delete;
  TargetUpdate& operator=(const TargetUpdate&) = delete;
  void update(float tau);
  std::vector<bool> stale() const;

 private:
  Network& target_;
  const Network& online_;
  std::vector<std::unique_ptr<TargetStep>> steps_;  // of every operation
};

// The soft update of linear weights and MaintainSparsity.
//
// The target's weights are stored over the union of the online topology and their own: first the online places in the
// online order, so that the soft update is a straight line, then the stale ones, dropped online but not yet outweighed.
// At most k places are not zero, k being the number of online connections. The union is renewed when the online weights
// have been rewired, and when the stale ones have come to nothing and are many.
std::unique_ptr<TargetStep> follow_linear(Linear& target, const Linear& online, bool stale);

}  // namespace rewirl
