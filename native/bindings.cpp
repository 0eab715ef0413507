// The Python face of the core. Every argument is checked here; the kernels trust what they get.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "cpu.hpp"
#include "mlp.hpp"
#include "pool.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace rewirl {
namespace {

template <class T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Tiles = nb::ndarray<const float, nb::ndim<3>, nb::device::cpu>;
using View = nb::ndarray<nb::numpy, float>;

// The message is put together only if it is needed: checks stand in paths of microseconds.
#define REQUIRE(condition, message) \
  if (!(condition)) throw std::invalid_argument(message)

template <class T>
nb::ndarray<nb::numpy, T> view(const Buffer<T>& buffer, std::initializer_list<size_t> shape) {
  using Share = std::shared_ptr<T>;
  nb::capsule owner(new Share(buffer.share()), [](void* p) noexcept { delete static_cast<Share*>(p); });
  return nb::ndarray<nb::numpy, T>(buffer.data(), shape, owner);
}

template <class T>
nb::ndarray<nb::numpy, const T> read_only(const Buffer<T>& buffer) {
  using Share = std::shared_ptr<T>;
  nb::capsule owner(new Share(buffer.share()), [](void* p) noexcept { delete static_cast<Share*>(p); });
  return nb::ndarray<nb::numpy, const T>(buffer.data(), {buffer.size()}, owner);
}

template <class T>
nb::ndarray<nb::numpy, T> copy(const std::vector<T>& data) {
  Buffer<T> buffer(data.size());
  std::copy(data.begin(), data.end(), buffer.begin());
  return view(buffer, {data.size()});
}

std::string shape_text(const Tiles& x) {
  return "[" + std::to_string(x.shape(0)) + ", " + std::to_string(x.shape(1)) + ", " + std::to_string(x.shape(2)) + "]";
}

Batch batch_of(const Tiles& x, int32_t features) {
  REQUIRE(x.shape(1) == static_cast<size_t>(features),
          "the input has " + std::to_string(x.shape(1)) + " features, the network takes " + std::to_string(features));
  REQUIRE(x.shape(0) > 0 && x.shape(2) > 0 && x.shape(2) % kLane == 0 && x.shape(2) <= kLane * kMaxVectors,
          "tiles must be [tiles, features, width] with width a multiple of 16, at most 128; got " + shape_text(x));
  REQUIRE(x.stride(2) == 1 && (x.shape(1) <= 1 || x.stride(1) == static_cast<int64_t>(x.shape(2))),
          "the features of a tile must be contiguous");
  REQUIRE(x.shape(0) == 1 || x.stride(0) >= static_cast<int64_t>(x.shape(1) * x.shape(2)), "tiles must not overlap");
  return {x.data(), static_cast<ptrdiff_t>(x.stride(0)), static_cast<int>(x.shape(0)), static_cast<int>(x.shape(2)) / kLane};
}

void require_tiles(const Tiles& x, int tiles, size_t features, int vectors, const char* what) {
  const size_t width = static_cast<size_t>(kLane) * vectors;
  const bool contiguous = x.stride(2) == 1 && (x.shape(1) == 1 || x.stride(1) == static_cast<int64_t>(width)) &&
                          (x.shape(0) == 1 || x.stride(0) == static_cast<int64_t>(features * width));
  REQUIRE(x.shape(0) == static_cast<size_t>(tiles) && x.shape(1) == features && x.shape(2) == width && contiguous,
          std::string(what) + " must be contiguous [" + std::to_string(tiles) + ", " + std::to_string(features) + ", " +
              std::to_string(width) + "], got " + shape_text(x));
}

template <class T>
void require_networks(const std::vector<T*>& networks) {
  for (const T* network : networks) REQUIRE(network != nullptr, "a network is None");
}

Layer& layer_at(Mlp& mlp, int index) {
  REQUIRE(index >= 0 && static_cast<size_t>(index) < mlp.layers.size(), "no layer " + std::to_string(index));
  return mlp.layers[static_cast<size_t>(index)];
}

Layer make_layer(int32_t n_in, int32_t n_out, const nb::object& places, const Vector<float>& values, bool trainable) {
  REQUIRE(n_in > 0 && n_out > 0, "a layer needs at least one input and one output");
  if (places.is_none()) {
    REQUIRE(values.shape(0) == static_cast<size_t>(n_in) * static_cast<size_t>(n_out),
            "a dense layer of " + std::to_string(n_in) + " inputs and " + std::to_string(n_out) + " outputs needs " +
                std::to_string(static_cast<int64_t>(n_in) * n_out) + " values, got " + std::to_string(values.shape(0)));
    return Layer(n_in, n_out, nullptr, values.shape(0), values.data(), trainable);
  }
  const auto given = nb::cast<Vector<int64_t>>(places);
  REQUIRE(given.shape(0) == values.shape(0), "places and values must have one length");
  static const int64_t none = 0;  // an empty array may have a null pointer, which would mean dense
  return Layer(n_in, n_out, given.shape(0) ? given.data() : &none, given.shape(0), values.data(), trainable);
}

}  // namespace

NB_MODULE(_core, m) {
  m.doc() = "Sparse and dense networks on the CPU: layers, Adam, target networks, worker threads.";
  m.attr("MAX_WIDTH") = kLane * kMaxVectors;
  m.attr("LANE") = kLane;

  m.def("available_instruction_sets", &available_instruction_sets, "Names of the instruction sets this machine runs, best first.");
  m.def("instruction_set", [] { return std::string(kernels().name); }, "The instruction set in use.");
  m.def("use_instruction_set", &use_instruction_set, "name"_a, "Use one of the available instruction sets, in all networks.");

  m.def(
      "empty_tiles",
      [](size_t tiles, size_t features, size_t width) {
        REQUIRE(width > 0 && width % kLane == 0 && width <= static_cast<size_t>(kLane * kMaxVectors), "width must be a multiple of 16, at most 128");
        return view(Buffer<float>(tiles * features * width), {tiles, features, width});
      },
      "tiles"_a, "features"_a, "width"_a, "A float32 array [tiles, features, width] of zeros, aligned to cache lines.");

  m.def(
      "gather_rows",
      [](const nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>& rows, const Vector<int64_t>& index,
         const std::vector<nb::ndarray<float, nb::ndim<3>, nb::device::cpu>>& outs) {
        const size_t n = rows.shape(0), columns = rows.shape(1), batch = index.shape(0);
        size_t needed = 0;
        for (const auto& out : outs) {
          needed += out.shape(1);
          REQUIRE(batch <= out.shape(0) * out.shape(2), "the batch does not fit into the tiles");
          REQUIRE(out.stride(2) == 1 && (out.shape(1) <= 1 || out.stride(1) == static_cast<int64_t>(out.shape(2))),
                  "the features of a tile must be contiguous");
        }
        REQUIRE(needed == columns, "rows have " + std::to_string(columns) + " columns, the tiles " + std::to_string(needed) + " features");
        for (size_t i = 0; i < batch; ++i)
          REQUIRE(index.data()[i] >= 0 && static_cast<size_t>(index.data()[i]) < n,
                  "row " + std::to_string(index.data()[i]) + " of " + std::to_string(n));
        const nb::gil_scoped_release release;
        const auto row_at = [&](size_t i) { return rows.data() + static_cast<size_t>(index.data()[i]) * columns; };
        const auto prefetch = [&](size_t i) {  // the memory is far larger than any cache
          const char* ahead = reinterpret_cast<const char*>(row_at(i));
          for (size_t byte = 0; byte < columns * sizeof(float); byte += 64) __builtin_prefetch(ahead + byte);
        };
        constexpr size_t kAhead = 8;
        for (size_t i = 0; i < std::min(kAhead, batch); ++i) prefetch(i);
        for (size_t i = 0; i < batch; ++i) {
          if (i + kAhead < batch) prefetch(i + kAhead);
          const float* row = row_at(i);
          for (const auto& out : outs) {
            const size_t width = out.shape(2), features = out.shape(1);
            float* sample = out.data() + static_cast<ptrdiff_t>(i / width) * out.stride(0) + static_cast<ptrdiff_t>(i % width);
            for (size_t f = 0; f < features; ++f) sample[f * width] = row[f];
            row += features;
          }
        }
      },
      "rows"_a, "index"_a, "outs"_a.noconvert(),  // into a converted copy nobody would look
      "Write rows[index[i]] into sample i of the tiles: its first columns as the features of the first, and so on.");

  nb::class_<Pool>(m, "Pool", "Worker threads beside the caller.")
      .def("__init__",
           [](Pool* self, int threads) {
             REQUIRE(threads >= 1 && threads <= 256, "threads must be between 1 and 256, got " + std::to_string(threads));
             new (self) Pool(threads);
           },
           "threads"_a)
      .def_prop_ro("threads", &Pool::threads)
      .def("close", &Pool::close, nb::call_guard<nb::gil_scoped_release>(), "Join the workers; later work is done by the caller.");

  nb::class_<Mlp>(m, "Mlp", "A multilayer perceptron over given places.")
      .def("__init__",
           [](Mlp* self, const std::vector<int32_t>& sizes, const nb::list& places, const nb::list& values, bool trainable) {
             REQUIRE(sizes.size() >= 2 && places.size() + 1 == sizes.size() && values.size() + 1 == sizes.size(),
                     "places and values need one entry per layer");
             std::vector<Layer> layers;
             for (size_t l = 0; l + 1 < sizes.size(); ++l)
               layers.push_back(make_layer(sizes[l], sizes[l + 1], places[l], nb::cast<Vector<float>>(values[l]), trainable));
             new (self) Mlp(std::move(layers));
           },
           "sizes"_a, "places"_a, "values"_a, "trainable"_a = true)
      .def_rw("steps", &Mlp::steps, "Steps of Adam done.")
      .def("dense", [](Mlp& s, int l) { return layer_at(s, l).dense(); }, "layer"_a)
      .def("connections", [](Mlp& s, int l) { return layer_at(s, l).connections(); }, "layer"_a)
      .def("version", [](Mlp& s, int l) { return layer_at(s, l).version; }, "layer"_a)
      .def("places", [](Mlp& s, int l) { return copy(layer_at(s, l).places()); }, "layer"_a)
      .def("values", [](Mlp& s, int l) { const Layer& a = layer_at(s, l); return read_only(a.values); }, "layer"_a)
      .def("set_values",
           [](Mlp& s, int l, const Vector<float>& values) {
             Layer& a = layer_at(s, l);
             REQUIRE(values.shape(0) == a.connections(),
                     "the layer has " + std::to_string(a.connections()) + " connections, got " + std::to_string(values.shape(0)) + " values");
             std::copy(values.data(), values.data() + values.shape(0), a.values.begin());
             a.changed();
           },
           "layer"_a, "values"_a)
      .def("gradient", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.gradient, {a.gradient.size()}); }, "layer"_a)
      .def("first_moment", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.m, {a.m.size()}); }, "layer"_a)
      .def("second_moment", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.v, {a.v.size()}); }, "layer"_a)
      .def("bias", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.bias, {a.bias.size()}); }, "layer"_a)
      .def("bias_gradient", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.bias_gradient, {a.bias_gradient.size()}); }, "layer"_a)
      .def("bias_first_moment", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.bias_m, {a.bias_m.size()}); }, "layer"_a)
      .def("bias_second_moment", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.bias_v, {a.bias_v.size()}); }, "layer"_a)
      .def("count_ages",
           [](Mlp& s) {
             REQUIRE(s.layers[0].trainable(), "a target network has no optimiser");
             s.count_ages();
           },
           "From now on Adam's bias correction goes by the age of each connection of a sparse layer.")
      .def("born", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.born, {a.born.size()}); }, "layer"_a)
      .def("output",
           [](Mlp& s) {
             REQUIRE(s.tiles > 0, "no output before the first forward");
             return view(s.output(), {static_cast<size_t>(s.tiles), static_cast<size_t>(s.layers.back().n_out()), static_cast<size_t>(kLane * s.vectors)});
           })
      .def("hidden",
           [](Mlp& s, int l) {
             REQUIRE(s.tiles > 0, "no activations before the first forward");
             const Layer& a = layer_at(s, l);
             return view(s.hidden(static_cast<size_t>(l)), {static_cast<size_t>(s.tiles), static_cast<size_t>(a.n_out()), static_cast<size_t>(kLane * s.vectors)});
           },
           "layer"_a)
      .def("input_gradient",
           [](Mlp& s) {
             REQUIRE(s.input_gradient.size() > 0, "no input gradient before a backward with inputs");
             const size_t features = static_cast<size_t>(s.layers[0].n_in() - s.input_gradient_from);
             const size_t width = static_cast<size_t>(kLane) * s.vectors;
             REQUIRE(s.input_gradient.size() == s.tiles * features * width, "the input gradient is of another batch");
             return view(s.input_gradient, {static_cast<size_t>(s.tiles), features, width});
           })
      .def("act",
           [](Mlp& s, const Vector<float>& x) {
             REQUIRE(x.shape(0) == static_cast<size_t>(s.layers[0].n_in()),
                     "the observation has " + std::to_string(x.shape(0)) + " features, the network takes " + std::to_string(s.layers[0].n_in()));
             const FlushSubnormals flush;
             Buffer<float> y(static_cast<size_t>(s.layers.back().n_out()));
             s.act(x.data(), y.data());
             return view(y, {y.size()});
           },
           "x"_a)
      .def("rewire",
           [](Mlp& s, int l, const Vector<int64_t>& dropped, const Vector<int64_t>& grown) {
             layer_at(s, l).rewire(dropped.data(), dropped.shape(0), grown.data(), grown.shape(0), static_cast<uint32_t>(s.steps));
           },
           "layer"_a, "dropped"_a, "grown"_a);

  nb::class_<TargetUpdate>(m, "TargetUpdate", "The soft update and MaintainSparsity of one target network.")
      .def(nb::init<Mlp&, const Mlp&, const std::vector<bool>&>(), "target"_a, "online"_a, "behind"_a = std::vector<bool>{},
           nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>())
      .def("behind", &TargetUpdate::behind, "Which layers of the online network have been rewired since the last update.");

  m.def(
      "forward",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x) {
        require_networks(networks);
        for (Mlp* network : networks) batch_of(x, network->layers[0].n_in());
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        if (networks.size() == 1) networks[0]->forward(batch, &pool);
        else pool.run(static_cast<int>(networks.size()), [&](int i) { networks[static_cast<size_t>(i)]->forward(batch); });
      },
      "pool"_a, "networks"_a, "x"_a, "Run each network on the tiles x [tiles, n_in, width]; threads share networks, or the layers of a single one.");

  m.def(
      "backward",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x, const std::vector<Tiles>& gradients, bool parameters, int32_t inputs_from) {
        require_networks(networks);
        REQUIRE(networks.size() == gradients.size(), "one output gradient per network is needed");
        for (size_t i = 0; i < networks.size(); ++i) {
          const Mlp& network = *networks[i];
          const Batch batch = batch_of(x, network.layers[0].n_in());
          REQUIRE(network.layers[0].trainable(), "a target network has no gradient");
          REQUIRE(batch.tiles == network.tiles && batch.vectors == network.vectors, "backward needs the batch of the last forward");
          REQUIRE(inputs_from < network.layers[0].n_in(), "inputs_from is beyond the inputs");
          require_tiles(gradients[i], network.tiles, static_cast<size_t>(network.layers.back().n_out()), network.vectors, "the output gradient");
        }
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        if (networks.size() == 1) networks[0]->backward(batch, gradients[0].data(), parameters, inputs_from, &pool);
        else pool.run(static_cast<int>(networks.size()), [&](int i) {
          const size_t n = static_cast<size_t>(i);
          networks[n]->backward(batch, gradients[n].data(), parameters, inputs_from);
        });
      },
      "pool"_a, "networks"_a, "x"_a, "gradients"_a, "parameters"_a = true, "inputs_from"_a = -1,
      "Gradients of a loss, given those of the outputs; inputs_from >= 0 asks for those of inputs inputs_from, ...");

  m.def(
      "adam",
      [](Pool& pool, const std::vector<Mlp*>& networks, float learning_rate, float beta1, float beta2, float epsilon, float weight_decay) {
        require_networks(networks);
        for (const Mlp* network : networks) REQUIRE(network->layers[0].trainable(), "a target network has no optimiser");
        const nb::gil_scoped_release release;
        const Adam settings{learning_rate, beta1, beta2, epsilon, weight_decay};
        pool.run(static_cast<int>(networks.size()), [&](int i) { networks[static_cast<size_t>(i)]->adam(settings); });
      },
      "pool"_a, "networks"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a);

  m.def(
      "update_targets",
      [](Pool& pool, const std::vector<TargetUpdate*>& updates, float tau) {
        require_networks(updates);
        const nb::gil_scoped_release release;
        pool.run(static_cast<int>(updates.size()), [&](int i) { updates[static_cast<size_t>(i)]->update(tau); });
      },
      "pool"_a, "updates"_a, "tau"_a);
}

}  // namespace rewirl
