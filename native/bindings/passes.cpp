// Passes through networks: forward, backward and steps, each network with a workspace.
#include <atomic>
#include <cmath>

#include "bindings/arguments.hpp"
#include "network.hpp"

namespace rewirl {
namespace {

using Workspaces = std::vector<Workspace*>;

// The input of all networks, and the number of samples in it; without one, networks whose operations need the whole
// batch could not know what is padding.
struct Input {
  Batch batch;
  size_t samples;
};

Input input_of(const Workspaces& workspaces, const Tiles& x, const std::optional<size_t>& samples, int parts = 1) {
  require_distinct(workspaces);
  REQUIRE(parts >= 1 && x.shape(0) % static_cast<size_t>(parts) == 0,
          std::to_string(parts) + " batches do not share out " + std::to_string(x.shape(0)) + " tiles evenly");
  Input input{};
  for (const Workspace* w : workspaces) {
    input.batch = batch_of(x, w->network.n_in());
    REQUIRE(samples || !w->batch_statistics, "a network with batch norm needs the number of samples in the batch");
  }
  const size_t columns = x.shape(0) / static_cast<size_t>(parts) * x.shape(2);
  REQUIRE(!samples || (*samples >= 1 && *samples <= columns), "there are " + std::to_string(columns) +
                                                                  " columns in the tiles, no " +
                                                                  std::to_string(samples.value_or(0)) + " samples");
  input.samples = samples.value_or(columns);
  return input;
}

Batch require_backward(const Workspaces& workspaces, const Tiles& x, const std::vector<Tiles>& gradients) {
  require_distinct(workspaces);
  REQUIRE(workspaces.size() == gradients.size(), "one output gradient per network is needed");
  Batch batch{};
  for (size_t i = 0; i < workspaces.size(); ++i) {
    const Workspace& w = *workspaces[i];
    batch = batch_of(x, w.network.n_in());
    REQUIRE(w.network.trainable(), "a target network has no gradient");
    REQUIRE(w.keep, "the workspace does not keep what gradients need");
    REQUIRE(batch.tiles == w.tiles && batch.vectors == w.vectors, "backward needs the batch of the last forward");
    require_tiles(gradients[i], w.tiles, static_cast<size_t>(w.network.n_out()), w.vectors, "the output gradient");
  }
  return batch;
}

Adam adam_of(float learning_rate, float beta1, float beta2, float epsilon, float weight_decay, bool decoupled) {
  REQUIRE(learning_rate >= 0.0f && std::isfinite(learning_rate), "the learning rate must be finite, 0 or more");
  REQUIRE(beta1 >= 0.0f && beta1 < 1.0f && beta2 >= 0.0f && beta2 < 1.0f, "the betas must be at least 0 and below 1");
  REQUIRE(epsilon >= 0.0f && std::isfinite(epsilon), "epsilon must be finite, 0 or more");
  REQUIRE(std::isfinite(weight_decay), "the weight decay must be finite");
  return {learning_rate, beta1, beta2, epsilon, weight_decay, decoupled};
}

// What is written is apart from all else that is written, and from what is read afterwards. All are contiguous.
void require_apart(const std::vector<WritableTiles>& written, std::vector<Tiles> others, const char* message) {
  for (const WritableTiles& one : written) {
    for (const Tiles& other : others)
      REQUIRE(one.data() + one.size() <= other.data() || other.data() + other.size() <= one.data(), message);
    others.emplace_back(one);
  }
}

// Whoever has a workspace may change what it is of: workspaces are made of networks that Python owns, none of them
// const.
Network& network_of(Workspace& w) { return const_cast<Network&>(w.network); }

void require_trainable(const Workspaces& workspaces) {
  require_distinct(workspaces);
  for (size_t i = 0; i < workspaces.size(); ++i) {
    REQUIRE(workspaces[i]->network.trainable(), "a target network has no optimiser");
    for (size_t j = 0; j < i; ++j)
      REQUIRE(&workspaces[i]->network != &workspaces[j]->network, "a network is given twice");
  }
}

// Calls work(i, pool or null) for each workspace: one thread each, or all threads for a single one.
template <class Work>
void each(Pool& pool, const Workspaces& workspaces, const Work& work) {
  const Released release;
  const FlushSubnormals flush;
  const auto alone = [&](size_t i, Pool* within) {
    const std::lock_guard<std::mutex> in_use(workspaces[i]->in_use);
    work(i, within);
  };
  if (workspaces.size() == 1) return alone(0, &pool);
  pool.run(static_cast<int>(workspaces.size()), [&](int i) { alone(static_cast<size_t>(i), nullptr); });
}

auto tiles_view(const Buffer<float>& buffer, const Workspace& w, int32_t features) {
  return view(buffer, {static_cast<size_t>(w.tiles), static_cast<size_t>(features), w.width()});
}

size_t gradient_index(const Operation& operation, const std::string& array) {
  const std::vector<Learnable*> learnables = operation.learnables();
  for (size_t k = 0; k < learnables.size(); ++k)
    if (learnables[k]->name == array) return k;
  throw std::invalid_argument("the operation '" + operation.name + "' has no gradient of '" + array + "'");
}

}  // namespace

void bind_passes(nb::module_& m) {
  nb::class_<Workspace>(m, "Workspace", "What passes through one network write.")
      .def(nb::init<const Network&, bool, bool, bool>(), "network"_a, "keep"_a = true, "batch_statistics"_a = true,
           "keep_gradients"_a = true, nb::keep_alive<1, 2>())
      .def_ro("generation", &Workspace::generation, "Counts the times that activations got other memory.")
      .def("output",
           [](Workspace& w) {
             const std::lock_guard<std::mutex> in_use(w.in_use);
             REQUIRE(w.tiles > 0, "no output before the first forward");
             return tiles_view(w.output(), w, w.network.n_out());
           })
      .def(
          "value",
          [](Workspace& w, const std::string& operation) {
            const std::lock_guard<std::mutex> in_use(w.in_use);
            REQUIRE(w.tiles > 0, "no values before the first forward");
            const size_t index = w.network.index_of(operation);
            REQUIRE(w.keep || w.value(index).data() == w.output().data(), "the workspace does not keep hidden values");
            return tiles_view(w.value(index), w, w.network.operations()[index]->features);
          },
          "operation"_a, "What an operation made in the last forward; of a linear one that does a ReLU, after it.")
      .def("input_gradient",
           [](Workspace& w) {
             const std::lock_guard<std::mutex> in_use(w.in_use);
             REQUIRE(w.input_gradient.size() > 0, "no input gradient before a backward with inputs");
             return tiles_view(w.input_gradient, w, w.network.n_in() - w.input_gradient_from);
           })
      .def(
          "gradient",
          [](Workspace& w, const std::string& operation, const std::string& array) {
            REQUIRE(w.network.trainable(), "a target network has no gradient");
            const size_t index = w.network.index_of(operation);
            const std::lock_guard<std::mutex> in_use(w.in_use);
            const auto lock = w.network.look();
            const size_t k = gradient_index(*w.network.operations()[index], array);
            w.prepare_gradients();
            const Buffer<float>& gradient = w.gradients[index][k];
            return view(gradient);
          },
          "operation"_a, "array"_a, "Of the last backward, in the order of the values; may be written to.")
      .def(
          "dense_gradient",
          [](Workspace& w, const std::string& operation, const Tiles& x) {
            const size_t index = w.network.index_of(operation);
            REQUIRE(w.network.trainable(), "a target network has no gradient");
            const Weights& weights = *w.network.linear(index).weights();
            const Batch batch = batch_of(x, w.network.n_in());
            const std::lock_guard<std::mutex> in_use(w.in_use);
            REQUIRE(w.keep_gradients, "the workspace does not keep the gradients of hidden values");
            REQUIRE(batch.tiles == w.tiles && batch.vectors == w.vectors && w.gradients_computed(),
                    "the dense gradient needs the batch of the last backward");
            const FlushSubnormals flush;
            const size_t rows = static_cast<size_t>(weights.n_out()), columns = static_cast<size_t>(weights.n_in());
            Buffer<float> out(rows * columns);
            w.network.dense_gradient(w, batch, index, out.data());
            return view(out, {rows, columns});
          },
          "operation"_a, "x"_a, "The gradient of the last backward for every place of a layer, connection or not.")
      .def(
          "update_statistics",
          [](Workspace& w) {
            REQUIRE(w.tiles > 0, "no statistics before the first forward");
            network_of(w).update_statistics(w);
          },
          nb::call_guard<Released>(), "Move running statistics towards those of the last forward.")
      .def(
          "norm",
          [](Workspace& w) {
            const std::lock_guard<std::mutex> in_use(w.in_use);
            w.require_gradients();
            return norm_of(w.gradients);
          },
          "The Euclidean norm of all gradients.")
      .def(
          "clip",
          [](Workspace& w, double limit) {
            REQUIRE(limit > 0, "the limit of the norm must be more than 0");
            const std::lock_guard<std::mutex> in_use(w.in_use);
            w.require_gradients();
            const double norm = norm_of(w.gradients);
            clip(w.gradients, norm, limit);
            return norm;
          },
          "limit"_a, "Make the norm of all gradients at most this; return what it was.");

  m.def(
      "forward",
      [](Pool& pool, const Workspaces& workspaces, const Tiles& x, const std::optional<size_t>& samples, int parts) {
        if (workspaces.empty()) return;
        const Input input = input_of(workspaces, x, samples, parts);
        each(pool, workspaces, [&](size_t i, Pool* within) {
          workspaces[i]->network.forward(*workspaces[i], input.batch, input.samples, parts, within);
        });
      },
      "pool"_a, "workspaces"_a, "x"_a, "samples"_a = nb::none(), "parts"_a = 1,
      "Run each network on the tiles x [tiles, n_in, width]; threads share networks, or the layers of a single one.");

  m.def(
      "backward",
      [](Pool& pool, const Workspaces& workspaces, const Tiles& x, const std::vector<Tiles>& gradients, bool parameters,
         int32_t inputs_from) {
        const Batch batch = require_backward(workspaces, x, gradients);
        for (const Workspace* w : workspaces)
          REQUIRE(inputs_from < w->network.n_in(), "inputs_from is beyond the inputs");
        if (workspaces.empty()) return;
        each(pool, workspaces, [&](size_t i, Pool* within) {
          workspaces[i]->network.backward(*workspaces[i], batch, gradients[i].data(), parameters, inputs_from, within);
        });
      },
      "pool"_a, "workspaces"_a, "x"_a, "gradients"_a, "parameters"_a = true, "inputs_from"_a = -1,
      "Gradients of a loss, given those of the outputs; inputs_from >= 0 asks for those of inputs inputs_from, ...");

  m.def(
      "step",
      [](Pool& pool, const Workspaces& workspaces, const Tiles& x, const std::vector<Tiles>& gradients,
         float learning_rate, float beta1, float beta2, float epsilon, float weight_decay, bool decoupled) {
        const Batch batch = require_backward(workspaces, x, gradients);
        require_trainable(workspaces);
        if (workspaces.empty()) return;
        const Adam settings = adam_of(learning_rate, beta1, beta2, epsilon, weight_decay, decoupled);
        each(pool, workspaces, [&](size_t i, Pool* within) {
          network_of(*workspaces[i]).step(*workspaces[i], batch, gradients[i].data(), settings, within);
        });
      },
      "pool"_a, "workspaces"_a, "x"_a, "gradients"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a,
      "weight_decay"_a, "decoupled"_a = false, "backward and adam in one, layer by layer.");

  m.def(
      "regress",
      [](Pool& pool, const Workspaces& workspaces, const Tiles& x, const Tiles& targets, const Tiles& weights,
         const std::vector<WritableTiles>& errors, float learning_rate, float beta1, float beta2, float epsilon,
         float weight_decay, bool decoupled, const std::optional<size_t>& samples) {
        REQUIRE(workspaces.size() == errors.size(), "one array of errors per network is needed");
        require_trainable(workspaces);
        if (workspaces.empty()) return true;
        const Input input = input_of(workspaces, x, samples);
        require_tiles(targets, input.batch.tiles, 1, input.batch.vectors, "the targets");
        require_tiles(weights, input.batch.tiles, 1, input.batch.vectors, "the weights");
        for (size_t i = 0; i < workspaces.size(); ++i) {
          REQUIRE(workspaces[i]->keep, "the workspace does not keep what gradients need");
          REQUIRE(workspaces[i]->network.n_out() == 1, "a network with one output is needed");
          require_tiles(Tiles(errors[i]), input.batch.tiles, 1, input.batch.vectors, "the errors");
        }
        require_apart(errors, {targets, weights},
                      "the errors need memory of their own, apart from targets and weights");
        const Adam settings = adam_of(learning_rate, beta1, beta2, epsilon, weight_decay, decoupled);
        std::atomic<bool> finite = true;
        each(pool, workspaces, [&](size_t i, Pool* within) {
          if (!network_of(*workspaces[i])
                   .regress(*workspaces[i], input.batch, input.samples, targets.data(), weights.data(),
                            errors[i].data(), settings, within))
            finite = false;
        });
        return finite.load();
      },
      "pool"_a, "workspaces"_a, "x"_a, "targets"_a, "weights"_a, "errors"_a.noconvert(), "learning_rate"_a, "beta1"_a,
      "beta2"_a, "epsilon"_a, "weight_decay"_a, "decoupled"_a = false, "samples"_a = nb::none(),
      "A step of Adam of each network down sum(weights * (output - targets)^2); errors = output - targets. Returns "
      "whether all of them are finite.");

  m.def(
      "classify",
      [](Pool& pool, const Workspaces& workspaces, const Tiles& x, const Tiles& targets, const Tiles& weights,
         const std::vector<WritableTiles>& probability, float learning_rate, float beta1, float beta2, float epsilon,
         float weight_decay, bool decoupled, const std::optional<size_t>& samples, int parts) {
        REQUIRE(workspaces.size() == probability.size(), "one array of probabilities per network is needed");
        require_trainable(workspaces);
        if (workspaces.empty()) return;
        const Input input = input_of(workspaces, x, samples, parts);
        const int tiles = input.batch.tiles / parts;
        require_tiles(weights, tiles, 1, input.batch.vectors, "the weights");
        for (size_t i = 0; i < workspaces.size(); ++i) {
          REQUIRE(workspaces[i]->keep, "the workspace does not keep what gradients need");
          const size_t n_out = static_cast<size_t>(workspaces[i]->network.n_out());
          require_tiles(targets, tiles, n_out, input.batch.vectors, "the targets");
          require_tiles(Tiles(probability[i]), tiles, n_out, input.batch.vectors, "the probabilities");
        }
        require_apart(probability, {targets, weights},
                      "the probabilities need memory of their own, apart from targets and weights");
        const Adam settings = adam_of(learning_rate, beta1, beta2, epsilon, weight_decay, decoupled);
        each(pool, workspaces, [&](size_t i, Pool* within) {
          network_of(*workspaces[i])
              .classify(*workspaces[i], input.batch, input.samples, parts, targets.data(), weights.data(),
                        probability[i].data(), settings, within);
        });
      },
      "pool"_a, "workspaces"_a, "x"_a, "targets"_a, "weights"_a, "probability"_a.noconvert(), "learning_rate"_a,
      "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a, "decoupled"_a = false, "samples"_a = nb::none(),
      "parts"_a = 1,
      "A step of Adam of each network down -sum(weights * targets * ln(probability)) of the first part of a batch; "
      "probability = softmax(output).");

  m.def(
      "adam",
      [](Pool& pool, const Workspaces& workspaces, float learning_rate, float beta1, float beta2, float epsilon,
         float weight_decay, bool decoupled) {
        require_trainable(workspaces);
        if (workspaces.empty()) return;
        const Adam settings = adam_of(learning_rate, beta1, beta2, epsilon, weight_decay, decoupled);
        each(pool, workspaces,
             [&](size_t i, Pool* within) { network_of(*workspaces[i]).adam(*workspaces[i], settings, within); });
      },
      "pool"_a, "workspaces"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a,
      "decoupled"_a = false);
}

}  // namespace rewirl
