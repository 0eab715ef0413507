// Rows of a replay memory, gathered straight into tiles.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "pool.hpp"
#include "random.hpp"
#include "tiles.hpp"

namespace rewirl {

struct RowMatrix {
  const float* data;
  size_t rows, columns;
  const float* row(size_t i) const { return data + i * columns; }
};

// The live rows of a ring: `live` of them, the oldest at `first`.
struct Ring {
  RowMatrix rows;
  size_t first, live;
};

// Samples [begin, end) of a batch: rows[index[i]], its first columns as the features of the first tiles, and so on.
// begin is a multiple of 4.
void gather_rows(const RowMatrix& rows, const int64_t* index, size_t begin, size_t end,
                 const std::vector<MutableTiles>& outs);

// A row that is still to be written: `wait` returns when it is, and is called only if the row was drawn.
struct ExpectedRow {
  int64_t row;
  std::function<void()> wait;
};

// Rows drawn uniformly with replacement; large batches are shared by the threads of the pool.
void sample_rows(Pool& pool, const BitGenerator& bits, const Ring& ring, size_t count,
                 const std::vector<MutableTiles>& outs, const ExpectedRow* expected = nullptr);

// Windows of up to `steps` rows, each as one transition. The columns of a row are state, action, next state, reward and
// continues; ends[row] is not 0 where an episode ends. What follows on a row is `stride` rows later: rows of several
// environments take turns.
struct Windows {
  int steps;
  size_t stride;
  float discount;
  size_t state_size;
  const uint8_t* ends;
};

// Draws where windows begin as sample_rows draws rows. Tile k of `between`, if there are any, has the state after k + 1
// rows and discount^(k + 1), or zeros where the window has no further row.
void sample_windows(const BitGenerator& bits, const Ring& ring, const Windows& windows, size_t count,
                    const std::vector<MutableTiles>& outs, const std::vector<MutableTiles>& between);

}  // namespace rewirl
