// Networks, their optimiser, targets, and what is made of outputs.
#include "bindings/arguments.hpp"
#include "heads.hpp"
#include "mlp.hpp"
#include "pool.hpp"
#include "target.hpp"

namespace rewirl {
namespace {

// The output for a single sample, with room for whole vectors.
Buffer<float> act(Mlp& network, const Vector<float>& x) {
  require_aligned(x);
  REQUIRE(x.shape(0) == static_cast<size_t>(network.layers[0].n_in()),
          "the observation has " + std::to_string(x.shape(0)) + " features, the network takes " +
              std::to_string(network.layers[0].n_in()));
  const FlushSubnormals flush;
  Buffer<float> y((static_cast<size_t>(network.layers.back().n_out()) + kLane - 1) / kLane * kLane);
  network.act(x.data(), y.data());
  return y;
}

// The output of the last forward.
ConstTiles output_of(const Mlp& network) {
  const size_t features = static_cast<size_t>(network.layers.back().n_out()),
               width = static_cast<size_t>(kLane) * network.vectors;
  return {network.output().data(), static_cast<ptrdiff_t>(features * width), static_cast<size_t>(network.tiles),
          features, width};
}

// The features of a squashed Gaussian, of which the network's output has mean and log_std, and the width of the tiles.
std::pair<size_t, size_t> require_gaussian(const Mlp& network, const Tiles& squashed) {
  REQUIRE(network.tiles > 0, "no output before the first forward");
  const size_t outputs = static_cast<size_t>(network.layers.back().n_out());
  REQUIRE(outputs % 2 == 0, "mean and log_std need an even number of outputs, got " + std::to_string(outputs));
  const Batch batch = batch_of(squashed, static_cast<int32_t>(outputs / 2));
  REQUIRE(batch.tiles == network.tiles && batch.vectors == network.vectors,
          "the samples must be those of the last forward");
  return {outputs / 2, squashed.shape(2)};
}

// Writable float32 tiles of the sizes of a network's output.
float* of_output(const WritableTiles& out, const Mlp& network, const char* what) {
  REQUIRE(network.tiles > 0, "no output before the first forward");
  const size_t width = static_cast<size_t>(kLane) * network.vectors,
               features = static_cast<size_t>(network.layers.back().n_out());
  REQUIRE(out.shape(0) == static_cast<size_t>(network.tiles) && out.shape(1) == features && out.shape(2) == width &&
              out.stride(2) == 1 && (features == 1 || out.stride(1) == static_cast<int64_t>(width)),
          std::string(what) + " must have the shape of the output, with contiguous features");
  require_aligned(out);
  return out.data();
}

void require_backward(const std::vector<Mlp*>& networks, const Tiles& x, const std::vector<Tiles>& gradients) {
  require_distinct(networks);
  REQUIRE(networks.size() == gradients.size(), "one output gradient per network is needed");
  for (size_t i = 0; i < networks.size(); ++i) {
    const Mlp& network = *networks[i];
    const Batch batch = batch_of(x, network.layers[0].n_in());
    REQUIRE(network.layers[0].trainable(), "a target network has no gradient");
    REQUIRE(batch.tiles == network.tiles && batch.vectors == network.vectors,
            "backward needs the batch of the last forward");
    require_tiles(gradients[i], network.tiles, static_cast<size_t>(network.layers.back().n_out()), network.vectors,
                  "the output gradient");
  }
}

Layer& layer_at(Mlp& mlp, int index) {
  REQUIRE(index >= 0 && static_cast<size_t>(index) < mlp.layers.size(), "no layer " + std::to_string(index));
  return mlp.layers[static_cast<size_t>(index)];
}

Layer make_layer(int32_t n_in, int32_t n_out, const nb::object& places, const Vector<float>& values, bool trainable) {
  REQUIRE(n_in > 0 && n_out > 0, "a layer needs at least one input and one output");
  REQUIRE(n_in <= 1 << 24 && n_out <= 1 << 24, "a layer has at most 2^24 inputs and outputs");
  if (places.is_none()) {
    REQUIRE(values.shape(0) == static_cast<size_t>(n_in) * static_cast<size_t>(n_out),
            "a dense layer of " + std::to_string(n_in) + " inputs and " + std::to_string(n_out) + " outputs needs " +
                std::to_string(static_cast<int64_t>(n_in) * n_out) + " values, got " + std::to_string(values.shape(0)));
    return Layer(n_in, n_out, nullptr, values.shape(0), values.data(), trainable);
  }
  const auto given = array_of<Vector<int64_t>>(places, "the places of a layer must be an array of int64, or None");
  REQUIRE(given.shape(0) == values.shape(0), "places and values must have one length");
  static const int64_t none = 0;  // an empty array may have a null pointer, which would mean dense
  return Layer(n_in, n_out, given.shape(0) ? given.data() : &none, given.shape(0), values.data(), trainable);
}

}  // namespace

void bind_networks(nb::module_& m) {
  nb::class_<Mlp>(m, "Mlp", "A multilayer perceptron over given places.")
      .def(
          "__init__",
          [](Mlp* self, const std::vector<int32_t>& sizes, const nb::list& places, const nb::list& values,
             bool trainable) {
            REQUIRE(sizes.size() >= 2 && places.size() + 1 == sizes.size() && values.size() + 1 == sizes.size(),
                    "places and values need one entry per layer");
            std::vector<Layer> layers;
            for (size_t l = 0; l + 1 < sizes.size(); ++l)
              layers.push_back(make_layer(
                  sizes[l], sizes[l + 1], places[l],
                  array_of<Vector<float>>(values[l], "the values of a layer must be an array of float32"), trainable));
            new (self) Mlp(std::move(layers));
          },
          "sizes"_a, "places"_a, "values"_a, "trainable"_a = true)
      .def_prop_rw(
          "steps", [](const Mlp& s) { return s.steps; },
          [](Mlp& s, int64_t steps) {
            REQUIRE(steps >= 0 && steps < int64_t{1} << 53,
                    "steps must be between 0 and 2^53, got " + std::to_string(steps));
            s.steps = steps;
          },
          "Steps of Adam done.")
      .def(
          "dense", [](Mlp& s, int l) { return layer_at(s, l).dense(); }, "layer"_a)
      .def(
          "connections", [](Mlp& s, int l) { return layer_at(s, l).connections(); }, "layer"_a)
      .def(
          "version", [](Mlp& s, int l) { return layer_at(s, l).version; }, "layer"_a)
      .def(
          "places", [](Mlp& s, int l) { return copy(layer_at(s, l).places()); }, "layer"_a)
      .def(
          "values",
          [](Mlp& s, int l) {
            const Layer& a = layer_at(s, l);
            return read_only(a.values);
          },
          "layer"_a)
      .def(
          "set_values",
          [](Mlp& s, int l, const Vector<float>& values) {
            Layer& a = layer_at(s, l);
            REQUIRE(values.shape(0) == a.connections(), "the layer has " + std::to_string(a.connections()) +
                                                            " connections, got " + std::to_string(values.shape(0)) +
                                                            " values");
            require_aligned(values);
            std::copy(values.data(), values.data() + values.shape(0), a.values.begin());
            a.changed();
          },
          "layer"_a, "values"_a)
      .def(
          "gradient",
          [](Mlp& s, int l) {
            Layer& a = layer_at(s, l);
            return view(a.gradient, {a.gradient.size()});
          },
          "layer"_a)
      .def(
          "first_moment",
          [](Mlp& s, int l) {
            Layer& a = layer_at(s, l);
            return view(a.m, {a.m.size()});
          },
          "layer"_a)
      .def(
          "second_moment",
          [](Mlp& s, int l) {
            Layer& a = layer_at(s, l);
            return view(a.v, {a.v.size()});
          },
          "layer"_a)
      .def(
          "bias",
          [](Mlp& s, int l) {
            Layer& a = layer_at(s, l);
            return view(a.bias, {a.bias.size()});
          },
          "layer"_a)
      .def(
          "bias_gradient",
          [](Mlp& s, int l) {
            Layer& a = layer_at(s, l);
            return view(a.bias_gradient, {a.bias_gradient.size()});
          },
          "layer"_a)
      .def(
          "bias_first_moment",
          [](Mlp& s, int l) {
            Layer& a = layer_at(s, l);
            return view(a.bias_m, {a.bias_m.size()});
          },
          "layer"_a)
      .def(
          "bias_second_moment",
          [](Mlp& s, int l) {
            Layer& a = layer_at(s, l);
            return view(a.bias_v, {a.bias_v.size()});
          },
          "layer"_a)
      .def(
          "count_ages",
          [](Mlp& s) {
            REQUIRE(s.layers[0].trainable(), "a target network has no optimiser");
            s.count_ages();
          },
          "From now on Adam's bias correction goes by the age of each connection of a sparse layer.")
      .def(
          "born",
          [](Mlp& s, int l) {
            Layer& a = layer_at(s, l);
            return view(a.born, {a.born.size()});
          },
          "layer"_a)
      .def("output",
           [](Mlp& s) {
             REQUIRE(s.tiles > 0, "no output before the first forward");
             return view(s.output(), {static_cast<size_t>(s.tiles), static_cast<size_t>(s.layers.back().n_out()),
                                      static_cast<size_t>(kLane * s.vectors)});
           })
      .def(
          "hidden",
          [](Mlp& s, int l) {
            REQUIRE(s.tiles > 0, "no activations before the first forward");
            const Layer& a = layer_at(s, l);
            REQUIRE(a.trainable() || l + 1 == static_cast<int>(s.layers.size()),
                    "a target network does not keep its hidden activations");
            return view(s.hidden(static_cast<size_t>(l)), {static_cast<size_t>(s.tiles), static_cast<size_t>(a.n_out()),
                                                           static_cast<size_t>(kLane * s.vectors)});
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
      .def(
          "act",
          [](Mlp& s, const Vector<float>& x) {
            Buffer<float> y = act(s, x);
            return view(y, {static_cast<size_t>(s.layers.back().n_out())});
          },
          "x"_a)
      .def(
          "act_squashed",
          [](Mlp& s, const Vector<float>& x, const std::optional<nb::object>& bit_generator, float scale) {
            const FlushSubnormals flush;
            Buffer<float> y = act(s, x);
            const Buffer<float> noise = bit_generator ? normals(bits_of(*bit_generator), y.size()) : Buffer<float>();
            kernels().squash(y.size(), y.data(), noise.data(), scale, std::numeric_limits<float>::infinity(), y.data());
            return view(y, {static_cast<size_t>(s.layers.back().n_out())});
          },
          "x"_a, "bit_generator"_a = nb::none(), "scale"_a = 1.0f, "clip(tanh(act(x)) + scale * normal(...), -1, 1).")
      .def(
          "dense_gradient",
          [](Mlp& s, int l, const Tiles& x) {
            const Layer& layer = layer_at(s, l);
            REQUIRE(layer.trainable(), "a target network has no gradient");
            REQUIRE(s.tiles > 0, "no gradient before the first backward");
            const Batch batch = batch_of(x, s.layers[0].n_in());
            REQUIRE(batch.tiles == s.tiles && batch.vectors == s.vectors,
                    "the dense gradient needs the batch of the last backward");
            const FlushSubnormals flush;
            const size_t rows = static_cast<size_t>(layer.n_out()), columns = static_cast<size_t>(layer.n_in());
            Buffer<float> out(rows * columns);
            s.dense_gradient(batch, static_cast<size_t>(l), out.data());
            return view(out, {rows, columns});
          },
          "layer"_a, "x"_a, "The gradient of the last backward for every place of a layer, connection or not.")
      .def(
          "rewire",
          [](Mlp& s, int l, const Vector<int64_t>& dropped, const Vector<int64_t>& grown) {
            layer_at(s, l);
            require_aligned(dropped);
            require_aligned(grown);
            s.rewire(static_cast<size_t>(l), dropped.data(), dropped.shape(0), grown.data(), grown.shape(0));
          },
          "layer"_a, "dropped"_a, "grown"_a);

  nb::class_<TargetUpdate>(m, "TargetUpdate", "The soft update and MaintainSparsity of one target network.")
      .def(
          "__init__",
          [](TargetUpdate* self, Mlp& target, const Mlp& online, const std::vector<bool>& behind) {
            REQUIRE(!target.layers[0].trainable() && online.layers[0].trainable(),
                    "a target is not trainable, what it follows is");
            REQUIRE(!target.followed, "the target follows a network already");
            new (self) TargetUpdate(target, online, behind);
            target.followed = true;
          },
          "target"_a, "online"_a, "behind"_a = std::vector<bool>{}, nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>())
      .def("behind", &TargetUpdate::behind,
           "Which layers of the online network have been rewired since the last update.");

  m.def(
      "forward",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x) {
        require_distinct(networks);
        for (Mlp* network : networks) batch_of(x, network->layers[0].n_in());
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        if (networks.size() == 1)
          networks[0]->forward(batch, &pool);
        else
          pool.run(static_cast<int>(networks.size()), [&](int i) { networks[static_cast<size_t>(i)]->forward(batch); });
      },
      "pool"_a, "networks"_a, "x"_a,
      "Run each network on the tiles x [tiles, n_in, width]; threads share networks, or the layers of a single one.");

  m.def(
      "backward",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x, const std::vector<Tiles>& gradients,
         bool parameters, int32_t inputs_from) {
        require_backward(networks, x, gradients);
        for (const Mlp* network : networks)
          REQUIRE(inputs_from < network->layers[0].n_in(), "inputs_from is beyond the inputs");
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        if (networks.size() == 1)
          networks[0]->backward(batch, gradients[0].data(), parameters, inputs_from, &pool);
        else
          pool.run(static_cast<int>(networks.size()), [&](int i) {
            const size_t n = static_cast<size_t>(i);
            networks[n]->backward(batch, gradients[n].data(), parameters, inputs_from);
          });
      },
      "pool"_a, "networks"_a, "x"_a, "gradients"_a, "parameters"_a = true, "inputs_from"_a = -1,
      "Gradients of a loss, given those of the outputs; inputs_from >= 0 asks for those of inputs inputs_from, ...");

  m.def(
      "descend",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x, const std::vector<Tiles>& gradients,
         float learning_rate, float beta1, float beta2, float epsilon, float weight_decay) {
        require_backward(networks, x, gradients);
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        const Adam step{learning_rate, beta1, beta2, epsilon, weight_decay};
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        if (networks.size() == 1)
          networks[0]->backward(batch, gradients[0].data(), true, -1, &pool, &step);
        else
          pool.run(static_cast<int>(networks.size()), [&](int i) {
            const size_t n = static_cast<size_t>(i);
            networks[n]->backward(batch, gradients[n].data(), true, -1, nullptr, &step);
          });
      },
      "pool"_a, "networks"_a, "x"_a, "gradients"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a,
      "weight_decay"_a, "backward and adam in one, layer by layer.");

  m.def(
      "regress",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x, const Tiles& targets, const Tiles& weights,
         const std::vector<WritableTiles>& errors, float learning_rate, float beta1, float beta2, float epsilon,
         float weight_decay) {
        require_distinct(networks);
        REQUIRE(networks.size() == errors.size(), "one array of errors per network is needed");
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        require_tiles(targets, batch.tiles, 1, batch.vectors, "the targets");
        require_tiles(weights, batch.tiles, 1, batch.vectors, "the weights");
        for (size_t i = 0; i < networks.size(); ++i) {
          batch_of(x, networks[i]->layers[0].n_in());
          REQUIRE(networks[i]->layers[0].trainable(), "a target network has no optimiser");
          REQUIRE(networks[i]->layers.back().n_out() == 1, "a network with one output is needed");
          require_tiles(Tiles(errors[i]), batch.tiles, 1, batch.vectors, "the errors");
        }
        const Adam step{learning_rate, beta1, beta2, epsilon, weight_decay};
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        pool.run(static_cast<int>(networks.size()), [&](int i) {
          const size_t n = static_cast<size_t>(i);
          networks[n]->regress(batch, targets.data(), weights.data(), errors[n].data(), step);
        });
      },
      "pool"_a, "networks"_a, "x"_a, "targets"_a, "weights"_a, "errors"_a.noconvert(), "learning_rate"_a, "beta1"_a,
      "beta2"_a, "epsilon"_a, "weight_decay"_a,
      "A step of Adam of each network down sum(weights * (output - targets)^2); errors = output - targets.");

  m.def(
      "minimum",
      [](const std::vector<Mlp*>& networks, float factor, const Tiles& scale, const Tiles& offset,
         const WritableTiles& out) {
        require_distinct(networks);
        REQUIRE(!networks.empty(), "a network is needed");
        const Mlp& first = *networks[0];
        of_output(out, first, "the array to write to");
        const size_t features = out.shape(1), width = out.shape(2);
        for (const Tiles* t : {&scale, &offset}) {
          require_aligned(*t);
          REQUIRE(t->shape(0) == out.shape(0) && t->shape(1) == features && t->shape(2) == width && t->stride(2) == 1 &&
                      (features == 1 || t->stride(1) == static_cast<int64_t>(width)),
                  "scale and offset must have the shape of the output");
        }
        for (const Mlp* network : networks)
          REQUIRE(network->tiles == first.tiles && network->vectors == first.vectors &&
                      network->output().size() == first.output().size(),
                  "the networks have outputs of different shapes");
        std::vector<ConstTiles> outputs;
        for (const Mlp* network : networks) outputs.push_back(output_of(*network));
        const FlushSubnormals flush;
        minimum(outputs, factor, tiles_of(scale), tiles_of(offset), tiles_of(out));
      },
      "networks"_a, "factor"_a, "scale"_a, "offset"_a, "out"_a.noconvert(),
      "out = offset + factor * scale * (the least of the networks' last outputs).");

  m.def(
      "squash",
      [](const Mlp& network, const WritableTiles& out, const std::optional<nb::object>& bit_generator, float scale,
         float bound) {
        of_output(out, network, "the array to write to");
        const FlushSubnormals flush;
        squash(output_of(network), bit_generator ? &bits_of(*bit_generator) : nullptr, scale, bound, tiles_of(out));
      },
      "network"_a, "out"_a.noconvert(), "bit_generator"_a = nb::none(), "scale"_a = 1.0f, "bound"_a = 1.0f,
      "out = clip(tanh(the network's last output) + clip(scale * normal(...), -bound, bound), -1, 1), without noise if "
      "there is no generator.");

  m.def(
      "sample_squashed_gaussian",
      [](const Mlp& network, const WritableTiles& out, const WritableTiles& noise, const WritableTiles& log_probability,
         const nb::object& bit_generator) {
        const auto [actions, width] = require_gaussian(network, Tiles(out));
        require_tiles(Tiles(noise), network.tiles, actions, network.vectors, "the noise");
        require_tiles(Tiles(log_probability), network.tiles, 1, network.vectors, "the logarithm of the probability");
        const FlushSubnormals flush;
        sample_squashed_gaussian(output_of(network), bits_of(bit_generator), tiles_of(out), tiles_of(noise),
                                 tiles_of(log_probability));
      },
      "network"_a, "out"_a.noconvert(), "noise"_a.noconvert(), "log_probability"_a.noconvert(), "bit_generator"_a,
      "out = tanh(mean + exp(log_std) * noise), with mean and log_std the halves of the network's last output.");

  m.def(
      "squashed_gaussian_gradient",
      [](const Mlp& network, const Tiles& squashed, const Tiles& noise, const Tiles& d_squashed,
         const Tiles& d_log_probability, const WritableTiles& out) {
        const auto [actions, width] = require_gaussian(network, squashed);
        require_gaussian(network, d_squashed);
        require_tiles(noise, network.tiles, actions, network.vectors, "the noise");
        require_tiles(d_log_probability, network.tiles, 1, network.vectors,
                      "the gradient of the logarithm of the probability");
        require_tiles(Tiles(out), network.tiles, 2 * actions, network.vectors, "the array to write to");
        const FlushSubnormals flush;
        squashed_gaussian_gradient(output_of(network), tiles_of(squashed), tiles_of(noise), tiles_of(d_squashed),
                                   tiles_of(d_log_probability), tiles_of(out));
      },
      "network"_a, "squashed"_a, "noise"_a, "d_squashed"_a, "d_log_probability"_a, "out"_a.noconvert(),
      "The gradient of the network's last output, given those of what sample_squashed_gaussian wrote.");

  m.def(
      "squash_gradient",
      [](const Tiles& squashed, const WritableTiles& gradient) {
        REQUIRE(squashed.shape(0) == gradient.shape(0) && squashed.shape(1) == gradient.shape(1) &&
                    squashed.shape(2) == gradient.shape(2),
                "both must have one shape");
        require_slice(squashed);
        require_slice(Tiles(gradient));
        squash_gradient(tiles_of(squashed), tiles_of(gradient));
      },
      "squashed"_a, "gradient"_a.noconvert(), "gradient *= 1 - squashed^2, the derivative of tanh.");

  m.def(
      "adam",
      [](Pool& pool, const std::vector<Mlp*>& networks, float learning_rate, float beta1, float beta2, float epsilon,
         float weight_decay) {
        require_distinct(networks);
        for (const Mlp* network : networks)
          REQUIRE(network->layers[0].trainable(), "a target network has no optimiser");
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        const Adam settings{learning_rate, beta1, beta2, epsilon, weight_decay};
        if (networks.size() == 1)
          networks[0]->adam(settings, &pool);
        else
          pool.run(static_cast<int>(networks.size()), [&](int i) { networks[static_cast<size_t>(i)]->adam(settings); });
      },
      "pool"_a, "networks"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a);

  m.def(
      "update_targets",
      [](Pool& pool, const std::vector<TargetUpdate*>& updates, float tau) {
        require_distinct(updates);
        const nb::gil_scoped_release release;
        pool.run(static_cast<int>(updates.size()), [&](int i) { updates[static_cast<size_t>(i)]->update(tau); });
      },
      "pool"_a, "updates"_a, "tau"_a);
}

}  // namespace rewirl
