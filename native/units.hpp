// How much hidden units are worth: the running averages of continual backprop (Dohare et al. 2024).
#pragma once
#include <cstddef>
#include <cstdint>

#include "tiles.hpp"

namespace rewirl {

// The connections into or out of the units of a layer: the unit of each, in [0, units). Where they are all there are,
// row by row, `unit` is null: of those into units the rows are the units, of those out of them the columns.
struct UnitConnections {
  const float* values;
  const int32_t* unit;
  size_t count;
};

// What is remembered of each unit.
struct UnitRecords {
  size_t units;
  int64_t* age;        // updates since it began
  double* activation;  // running average of the mean of h over a batch
  double* utility;     // running average of what it was worth
};

// Takes a batch of activations h into account, [tiles][units][width], and the connections of now. With a the age and E
// the mean with the weights [tiles][1][width] of the samples,
//   a <- a + 1;  f <- decay f + (1 - decay) E h;  u <- decay u + (1 - decay) y
//   y = E |h - f / (1 - decay^a)| sum |w_out| / sum |w_in|  if adaptable, 0 where all w_in are 0;  else E |h| sum
//   |w_out|
// Throws std::invalid_argument where a connection is of no unit.
void observe_units(const float* h, const float* weights, int tiles, size_t width, const UnitConnections& in,
                   const UnitConnections& out, double decay, bool adaptable, const UnitRecords& records);

}  // namespace rewirl
