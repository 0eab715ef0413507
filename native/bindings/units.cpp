// What continual backprop knows of hidden units.
#include "units.hpp"

#include "bindings/arguments.hpp"

namespace rewirl {
namespace {

template <class T>
T* record_of(const WritableVector<T>& record, size_t units, const char* what) {
  REQUIRE(record.shape(0) == units, std::string(what) + " must have a number for each of " + std::to_string(units) +
                                        " units, got " + std::to_string(record.shape(0)));
  require_aligned(record);
  return record.data();
}

UnitConnections connections_of(const Vector<float>& values, const std::optional<Vector<int32_t>>& unit) {
  REQUIRE(!unit || values.shape(0) == unit->shape(0), "every connection needs its unit");
  require_aligned(values);
  if (unit) require_aligned(*unit);
  return {values.data(), unit ? unit->data() : nullptr, values.shape(0)};
}

}  // namespace

void bind_units(nb::module_& m) {
  m.def(
      "observe_units",
      [](const Tiles& hidden, const Tiles& weights, const Vector<float>& in_values,
         const std::optional<Vector<int32_t>>& in_units, const Vector<float>& out_values,
         const std::optional<Vector<int32_t>>& out_units, double decay, bool adaptable,
         const WritableVector<int64_t>& age, const WritableVector<double>& activation,
         const WritableVector<double>& utility) {
        require_slice(hidden);
        const int tiles = static_cast<int>(hidden.shape(0)), vectors = static_cast<int>(hidden.shape(2)) / kLane;
        const size_t units = hidden.shape(1);
        require_tiles(hidden, tiles, units, vectors, "the activations");
        require_tiles(weights, tiles, 1, vectors, "the weights");
        REQUIRE(decay >= 0 && decay < 1, "the decay must be at least 0 and below 1");
        const UnitRecords records{units, record_of(age, units, "the ages"),
                                  record_of(activation, units, "the activations"),
                                  record_of(utility, units, "the utilities")};
        const UnitConnections in = connections_of(in_values, in_units), out = connections_of(out_values, out_units);
        const Released release;
        observe_units(hidden.data(), weights.data(), tiles, hidden.shape(2), in, out, decay, adaptable, records);
      },
      "hidden"_a, "weights"_a, "in_values"_a, "in_units"_a.none(), "out_values"_a, "out_units"_a.none(), "decay"_a,
      "adaptable"_a, "age"_a.noconvert(), "activation"_a.noconvert(), "utility"_a.noconvert(),
      "Take a batch of activations [tiles, units, width] and the connections of now into the records of units; None "
      "stands for the units of dense layers.");
}

}  // namespace rewirl
