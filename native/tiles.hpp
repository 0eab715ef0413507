// Batches of samples as the kernels take them: tiles [tiles][features][width], the samples of a feature side by side.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.hpp"

namespace rewirl {

// Tiles somebody else owns. `stride` numbers lie between two tiles: features may be a slice of those of wider tiles.
template <class T>
struct TilesOf {
  T* data;
  ptrdiff_t stride;
  size_t tiles, features, width;
  T* row(size_t tile, size_t feature) const {
    return data + static_cast<ptrdiff_t>(tile) * stride + static_cast<ptrdiff_t>(feature * width);
  }
};
using ConstTiles = TilesOf<const float>;
using MutableTiles = TilesOf<float>;

// The input of a network.
struct Batch {
  const float* data;
  ptrdiff_t stride;
  int tiles, vectors;
  int width() const { return kLane * vectors; }
  const float* tile(int t) const { return data + t * stride; }
};

// A share of the work in a layer, for one of several threads. The parts of an operation write to different places, and
// every number is computed as without parts, so results do not depend on how many there are.
struct Part {
  int index = 0, count = 1;
  // The share of [0, n), cut at multiples of `unit`.
  int64_t begin(int64_t n, int64_t unit = 1) const { return std::min(n, (n + unit - 1) / unit * index / count * unit); }
  int64_t end(int64_t n, int64_t unit = 1) const { return Part{index + 1, count}.begin(n, unit); }
};

}  // namespace rewirl
