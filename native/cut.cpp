#include "cut.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu.hpp"

namespace rewirl {

void Cut::keep_largest(size_t n, float* w, size_t k) {
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

}  // namespace rewirl
