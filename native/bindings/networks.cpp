// Networks and their targets.
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>

#include "bindings/arguments.hpp"
#include "heads.hpp"
#include "network.hpp"
#include "target.hpp"

namespace rewirl {
namespace {

template <class T>
T member(const nb::handle& given, const char* what) {
  T value;
  if (!nb::try_cast(given, value)) throw nb::type_error(what);
  return value;
}

// One operation as Python has it, with what its weights are made of.
OperationSpec spec_of(const nb::tuple& given, std::vector<nb::object>& alive) {
  REQUIRE(given.size() == 7, "an operation is (kind, name, inputs, settings, format, places, values)");
  OperationSpec spec;
  spec.kind = member<std::string>(given[0], "the kind of an operation must be text");
  spec.name = member<std::string>(given[1], "the name of an operation must be text");
  spec.inputs = member<std::vector<int32_t>>(given[2], "what an operation reads must be numbers of values");
  spec.numbers =
      member<std::map<std::string, double>>(given[3], "the settings of an operation must be numbers by name");
  spec.format = member<std::string>(given[4], "the format of weights must be text");
  if (!given[5].is_none()) {
    const auto places = array_of<Vector<int64_t>>(given[5], "the places of a layer must be an array of int64, or None");
    spec.places = places.data();
    spec.connections = places.shape(0);
    alive.push_back(nb::cast(places));
  }
  REQUIRE(given[5].is_none() || !given[6].is_none(), "places and values must have one length");
  if (!given[6].is_none()) {
    const auto values = array_of<Vector<float>>(given[6], "the values of a layer must be an array of float32");
    REQUIRE(given[5].is_none() || spec.connections == values.shape(0), "places and values must have one length");
    spec.values = values.data();
    spec.connections = values.shape(0);
    alive.push_back(nb::cast(values));
  }
  return spec;
}

// The output for a single sample, with room for whole vectors.
Buffer<float> act(const Network& network, const Vector<float>& x) {
  require_aligned(x);
  REQUIRE(x.shape(0) == static_cast<size_t>(network.n_in()), "the observation has " + std::to_string(x.shape(0)) +
                                                                 " features, the network takes " +
                                                                 std::to_string(network.n_in()));
  const FlushSubnormals flush;
  Buffer<float> y((static_cast<size_t>(network.n_out()) + kLane - 1) / kLane * kLane);
  network.act(x.data(), y.data());
  return y;
}

// What Python asks of a network, each while nobody changes it. (operation, array) of what all operations return:
auto names_of(std::vector<Learnable*> (Operation::*arrays)() const) {
  return [arrays](const Network& s) {
    const auto lock = s.look();
    std::vector<std::pair<std::string, std::string>> names;
    for (const auto& operation : s.operations())
      for (const Learnable* l : (*operation.*arrays)()) names.emplace_back(operation->name, l->name);
    return names;
  };
}

// get(Linear) of an operation.
template <class Get>
auto of_linear(Get get) {
  return [get](const Network& s, const std::string& o) {
    const auto lock = s.look();
    return get(s.linear(s.index_of(o)));
  };
}

// get(Learnable) of an array of an operation.
template <class Get>
auto of_array(Get get) {
  return [get](const Network& s, const std::string& o, const std::string& array) {
    const auto lock = s.look();
    return get(s.array(s.index_of(o), array));
  };
}

}  // namespace

void bind_networks(nb::module_& m) {
  nb::class_<Network>(m, "Network", "Operations over numbered values, of which 0 is the input and the last the output.")
      .def(
          "__init__",
          [](Network* self, int32_t n_in, const nb::list& operations, bool trainable) {
            std::vector<OperationSpec> specs;
            std::vector<nb::object> alive;
            for (const nb::handle& each : operations)
              specs.push_back(spec_of(member<nb::tuple>(each, "an operation must be a tuple"), alive));
            new (self) Network(n_in, std::move(specs), trainable);
          },
          "n_in"_a, "operations"_a, "trainable"_a = true)
      .def_prop_ro("trainable", &Network::trainable)
      .def_prop_rw(
          "steps", &Network::steps,
          [](Network& s, int64_t steps) {
            REQUIRE(steps >= 0 && steps < int64_t{1} << 53,
                    "steps must be between 0 and 2^53, got " + std::to_string(steps));
            s.set_steps(steps);
          },
          "Steps of the optimiser done.")
      .def_prop_ro("changes", &Network::changes, "Counts whatever has changed it.")
      .def_prop_ro("ages", &Network::ages, "Whether count_ages was called.")
      .def(
          "features", [](const Network& s, const std::string& o) { return s.operations()[s.index_of(o)]->features; },
          "operation"_a, "Of the value that an operation makes.")
      .def("learnables", names_of(&Operation::learnables), "(operation, array) of everything that an optimiser moves.")
      .def("statistics", names_of(&Operation::statistics),
           "(operation, array) of what is learnt otherwise, such as running means.")
      .def("format", of_linear([](const Linear& l) { return std::string(l.weights()->format()); }), "operation"_a)
      .def("height", of_linear([](const Linear& l) { return l.weights()->height(); }), "operation"_a,
           "Outputs of a block, where connections come and go in blocks; else 1.")
      .def("dense", of_linear([](const Linear& l) { return l.weights()->dense(); }), "operation"_a)
      .def("connections", of_linear([](const Linear& l) { return l.weights()->connections(); }), "operation"_a)
      .def("version", of_linear([](const Linear& l) { return l.version(); }), "operation"_a,
           "Counts the topologies of a linear operation.")
      .def("places", of_linear([](const Linear& l) { return copy(l.weights()->places()); }), "operation"_a)
      .def("born", of_array([](const Learnable& l) { return view(l.born); }), "operation"_a, "array"_a)
      .def("values", of_array([](const Learnable& l) { return read_only(l.values); }), "operation"_a, "array"_a)
      .def(
          "writable_values",
          [](const Network& s, const std::string& o, const std::string& array) {
            const size_t index = s.index_of(o);
            const auto lock = s.look();
            const Learnable& found = s.array(index, array);
            REQUIRE(&found != s.operations()[index]->weights(), "weights are written by set_values");
            return view(found.values);
          },
          "operation"_a, "array"_a)
      .def("first_moment", of_array([](const Learnable& l) { return view(l.m); }), "operation"_a, "array"_a)
      .def("second_moment", of_array([](const Learnable& l) { return view(l.v); }), "operation"_a, "array"_a)
      .def(
          "set_values",
          [](Network& s, const std::string& o, const std::string& array, const Vector<float>& values) {
            require_aligned(values);
            s.set_values(s.index_of(o), array, values.data(), values.shape(0));
          },
          "operation"_a, "array"_a, "values"_a)
      .def(
          "count_ages",
          [](Network& s) {
            REQUIRE(s.trainable(), "a target network has no optimiser");
            s.count_ages();
          },
          "From now on Adam's bias correction goes by the age of each connection and bias.")
      .def(
          "rewire",
          [](Network& s, const std::string& o, const Vector<int64_t>& dropped, const Vector<int64_t>& grown) {
            require_aligned(dropped);
            require_aligned(grown);
            s.rewire(s.index_of(o), dropped.data(), dropped.shape(0), grown.data(), grown.shape(0));
          },
          "operation"_a, "dropped"_a, "grown"_a)
      .def(
          "act",
          [](const Network& s, const Vector<float>& x) { return view(act(s, x), {static_cast<size_t>(s.n_out())}); },
          "x"_a)
      .def(
          "act_squashed",
          [](const Network& s, const Vector<float>& x, const std::optional<nb::object>& bit_generator, float scale) {
            const FlushSubnormals flush;
            const Buffer<float> y = act(s, x);
            const MutableTiles tiles{y.data(), 0, 1, 1, y.size()};
            squash({y.data(), 0, 1, 1, y.size()}, bit_generator ? &bits_of(*bit_generator) : nullptr, scale,
                   std::numeric_limits<float>::infinity(), tiles);
            return view(y, {static_cast<size_t>(s.n_out())});
          },
          "x"_a, "bit_generator"_a = nb::none(), "scale"_a = 1.0f, "clip(tanh(act(x)) + scale * normal(...), -1, 1).")
      .def(
          "predict",
          [](const Network& s, const Tiles& x) {
            const Batch batch = batch_of(x, s.n_in());
            Buffer<float> y;
            {
              const Released release;
              const FlushSubnormals flush;
              y = s.predict(batch);
            }
            return view(y, {x.shape(0), static_cast<size_t>(s.n_out()), x.shape(2)});
          },
          "x"_a, "The output for tiles, an array of its own; any number of threads may ask at once.");

  nb::class_<TargetUpdate>(m, "TargetUpdate", "The soft update and MaintainSparsity of one target network.")
      .def(
          "__init__",
          [](TargetUpdate* self, Network& target, const Network& online, const std::vector<bool>& stale) {
            REQUIRE(!target.trainable() && online.trainable(), "a target is not trainable, what it follows is");
            REQUIRE(!target.followed, "the target follows a network already");
            new (self) TargetUpdate(target, online, stale);
            target.followed = true;
          },
          "target"_a, "online"_a, "stale"_a = std::vector<bool>{}, nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>())
      .def("stale", &TargetUpdate::stale, "Which linear operations have been rewired online since the last update.");

  m.def(
      "update_targets",
      [](Pool& pool, const std::vector<TargetUpdate*>& updates, float tau) {
        require_distinct(updates);
        REQUIRE(tau >= 0.0f && tau <= 1.0f, "tau must be from 0 to 1, got " + std::to_string(tau));
        const Released release;
        pool.run(static_cast<int>(updates.size()), [&](int i) { updates[static_cast<size_t>(i)]->update(tau); });
      },
      "pool"_a, "updates"_a, "tau"_a);
}

}  // namespace rewirl
