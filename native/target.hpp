// Target networks: the soft update, and what keeps a target as sparse as its online network.
#pragma once
#include <cstdint>
#include <vector>

#include "mlp.hpp"

namespace rewirl {

// The soft update of a target network and MaintainSparsity (Sokar et al. 2022, Algorithm 3).
//
// A target layer is stored over the union of the online topology and its own: first the online places in the online
// order, so that the soft update is a straight line, then the stale ones, dropped online but not yet outweighed. At
// most k places are not zero, k being the number of online connections. The union is renewed when the online network
// has been rewired, and when the stale ones have come to nothing and are many.
class TargetUpdate {
 public:
  // behind[l]: the online layer l has been rewired since the last update, so the union of layer l is to be renewed at
  // the next. Empty: a new target, a copy of the online network.
  TargetUpdate(Mlp& target, const Mlp& online, const std::vector<bool>& behind);
  void update(float tau);
  std::vector<bool> behind() const;

 private:
  struct Link {
    uint64_t version = 0;  // of the online topology that the union is of
    float limit = 0.0f;    // of the magnitudes that the last cut zeroed
  };
  void connect(size_t layer, bool renew);
  void maintain_sparsity(size_t layer);

  Mlp& target_;
  const Mlp& online_;
  std::vector<Link> links_;
  Buffer<uint32_t> candidates_;
  std::vector<float> magnitudes_;
};

}  // namespace rewirl
