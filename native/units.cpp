#include "units.hpp"

#include <cmath>
#include <stdexcept>
#include <vector>

namespace rewirl {
namespace {

// The mean over the samples of f(h) of one unit; one sum for each lane, so that the compiler can use vectors.
template <class F>
double mean_of(const float* h, const float* weights, int tiles, size_t stride, size_t width, const F& f) {
  float lanes[kLane] = {};
  for (int t = 0; t < tiles; ++t, h += stride, weights += width)
    for (size_t i = 0; i < width; i += kLane)
      for (size_t lane = 0; lane < kLane; ++lane) lanes[lane] += f(h[i + lane]) * weights[i + lane];
  double sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

// Connections of one unit often follow each other: with four sums for each unit, none waits for the one before.
void add_listed(const UnitConnections& of, std::vector<double>& sums) {
  constexpr size_t kTables = 4;
  const size_t units = sums.size();
  std::vector<float> tables(kTables * units);
  for (size_t k = 0; k < of.count; ++k) {
    const size_t unit = static_cast<size_t>(of.unit[k]);
    if (unit >= units) throw std::invalid_argument("a connection is of no unit of the layer");
    tables[k % kTables * units + unit] += std::fabs(of.values[k]);
  }
  for (size_t k = 0; k < tables.size(); ++k) sums[k % units] += tables[k];
}

void add_rows(const UnitConnections& of, std::vector<double>& sums) {
  const size_t columns = of.count / sums.size();
  for (size_t i = 0; i < sums.size(); ++i) {
    const float* row = of.values + i * columns;
    double lanes[kLane] = {}, sum = 0;
    size_t j = 0;
    for (; j + kLane <= columns; j += kLane)
      for (size_t lane = 0; lane < kLane; ++lane) lanes[lane] += std::fabs(row[j + lane]);
    for (; j < columns; ++j) sum += std::fabs(row[j]);
    for (const double lane : lanes) sum += lane;
    sums[i] = sum;
  }
}

void add_columns(const UnitConnections& of, std::vector<double>& sums) {
  for (const float* row = of.values; row != of.values + of.count; row += sums.size())
    for (size_t j = 0; j < sums.size(); ++j) sums[j] += std::fabs(row[j]);
}

// The sum of |w| by unit.
std::vector<double> magnitudes(const UnitConnections& of, size_t units, bool in) {
  std::vector<double> sums(units);
  if (units == 0 || of.count == 0) return sums;
  if (of.unit) {
    add_listed(of, sums);
    return sums;
  }
  if (of.count % units) throw std::invalid_argument("so many connections are not all between two layers");
  (in ? add_rows : add_columns)(of, sums);
  return sums;
}

}  // namespace

void observe_units(const float* h, const float* weights, int tiles, size_t width, const UnitConnections& in,
                   const UnitConnections& out, double decay, bool adaptable, const UnitRecords& records) {
  const std::vector<double> leaving = magnitudes(out, records.units, false);
  const std::vector<double> arriving = adaptable ? magnitudes(in, records.units, true) : std::vector<double>();
  const size_t stride = records.units * width;
  for (size_t i = 0; i < records.units; ++i, h += width) {
    const double age = static_cast<double>(++records.age[i]);
    double& activation = records.activation[i];
    activation =
        decay * activation + (1 - decay) * mean_of(h, weights, tiles, stride, width, [](float x) { return x; });
    const float center = adaptable ? static_cast<float>(activation / (1 - std::pow(decay, age))) : 0.0f;
    double worth =
        leaving[i] * mean_of(h, weights, tiles, stride, width, [center](float x) { return std::fabs(x - center); });
    if (adaptable) worth = arriving[i] > 0 ? worth / arriving[i] : 0;
    records.utility[i] = decay * records.utility[i] + (1 - decay) * worth;
  }
}

}  // namespace rewirl
