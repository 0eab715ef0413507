// An operation of a network behind one interface. A new one is one type in operations/ and a line in its list.
//
// A network computes values, numbered from 0, its input; each operation reads some of them and makes the next. A value
// of one tile is [features][width], the samples of a feature side by side.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tiles.hpp"
#include "weights.hpp"

namespace rewirl {

// What an operation is made of.
struct OperationSpec {
  std::string kind, name;
  std::vector<int32_t> inputs;            // the values it reads
  std::map<std::string, double> numbers;  // its settings
  std::string format;                     // of weights, if it has any: the format and what it is made of
  const int64_t* places = nullptr;
  size_t connections = 0;
  const float* values = nullptr;
  bool trainable = true;
  std::vector<int32_t> features;                    // of the values it reads; the network knows
  double number(const std::string& setting) const;  // throws where it is missing
  int32_t count(const std::string& setting) const;  // the same, of an integer in [1, 2^24]
  bool flag(const std::string& setting) const { return number(setting) != 0.0; }
  void require_inputs(size_t count) const;  // throws if it reads another number of values
};

// What forward() sees of one tile.
struct Forward {
  int vectors;
  const float* const* in;  // the values it reads
  float* out;
  float* kept;        // [kept_rows()][width], for the gradients
  Epilogue epilogue;  // what the operation after it needs of its last step; none or relu
  size_t numbers(int32_t features) const { return static_cast<size_t>(features) * width(); }
  size_t width() const { return static_cast<size_t>(kLane) * static_cast<size_t>(vectors); }
};

// What the gradients see of one tile.
struct Backward {
  int vectors;
  const float* const* in;
  const float* out;
  const float* d_out;      // the gradient of `out`
  float* const* d_in;      // where the gradients of the values it reads go; null where nobody asks
  const bool* accumulate;  // whether they are added to what is there
  int32_t from;            // d_in[0] is of features from this one on; only of an operation with weights, else 0
  const float* gates;      // or null: the outputs of the ReLU that made in[0], through which d_in[0] goes too
  const float* kept;
  size_t numbers(int32_t features) const { return static_cast<size_t>(features) * width(); }
  size_t width() const { return static_cast<size_t>(kLane) * static_cast<size_t>(vectors); }
};

// All tiles of a batch, which is `parts` batches one after the other in as many tiles each. Of each the first `samples`
// columns are samples and the others padding, which counts for nothing.
struct WholeBatch {
  int tiles, vectors;
  size_t samples;
  int parts = 1;
  size_t width() const { return static_cast<size_t>(kLane) * static_cast<size_t>(vectors); }
  size_t all_samples() const { return samples * static_cast<size_t>(parts); }
  size_t samples_in(int tile) const {
    const size_t begin = static_cast<size_t>(tile % (tiles / parts)) * width();
    return samples <= begin ? 0 : std::min(width(), samples - begin);
  }
};

class Operation;

// How what an operation of a target network has learnt follows that of the online network.
class TargetStep {
 public:
  virtual ~TargetStep() = default;
  virtual void update(float tau) = 0;
  virtual bool stale() const { return false; }  // whether the online topology has changed since the last update
};

class Operation {
 public:
  Operation(const OperationSpec& spec, int32_t features) : name(spec.name), inputs(spec.inputs), features(features) {}
  virtual ~Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  const std::string name;
  const std::vector<int32_t> inputs;  // the values it reads
  const int32_t features;             // of the value it makes

  virtual const char* kind() const = 0;
  virtual size_t multiplications() const { return 0; }  // for a sample; says how work is shared out
  virtual Epilogue epilogue() const {
    return Epilogue::none;
  }  // if an operation before it that finishes() can do all of it in its last step
  virtual bool finishes() const { return weights() != nullptr; }
  virtual Weights* weights() const { return nullptr; }  // of an operation that is linear
  virtual size_t kept_rows() const { return 0; }        // rows of a tile that forward() leaves for the gradients
  virtual size_t scratch_rows() const { return 0; }     // rows of a tile that parameter_gradient() needs

  virtual void forward(const Forward& tile, Part part) const = 0;
  virtual void input_gradient(const Backward& tile, Part part) const = 0;
  // gradients[k] (+)= that of learnables()[k].
  virtual void parameter_gradient(const Backward&, const Buffer<float>*, bool, float*, Part) const {}
  // The same over all tiles of a batch at once, of those that can.
  virtual bool whole_batch_gradient() const { return false; }
  virtual void parameter_gradient_of(const WholeBatch&, const Batch*, const float*, const float*, const Buffer<float>*,
                                     Part) const {}
  virtual void act(const float* const* in, float* out, Epilogue epilogue) const = 0;  // a single sample

  // Learning from one sample at a time, of operations that can. act_gradient() adds to the gradients of the values it
  // reads, null where nobody asks. trace() makes the traces m of what it has learnt decay * m + the gradient, and
  // returns the sum of their magnitudes. Values and gradients have room for whole vectors, of zeros.
  virtual bool streams() const { return false; }
  virtual void act_gradient(const float* const*, const float*, const float*, float* const*) const {}
  virtual double trace(const float* const*, const float*, float) const { return 0.0; }

  // What an optimiser moves; and what else it has learnt, such as running statistics. The pointers are good until a
  // rewiring.
  virtual std::vector<Learnable*> learnables() const { return {}; }
  virtual std::vector<Learnable*> statistics() const { return {}; }
  // Calls visit(k, begin, end) for the stretches of learnables()[k] whose gradients this part computes.
  virtual void stretches(Part part, const std::function<void(size_t, size_t, size_t)>& visit) const;
  virtual void changed() {}  // to be called when learnables have been written to

  // An operation that needs the whole batch has statistics of it, floats that forward_of() computes,
  // input_gradient_of() adds to and parameter_gradient_of() reads, in this order; the latter two are called where a
  // gradient of what it makes is wanted, d_in[i] being null where none of an input is. in[i], out, d_out and d_in[i]
  // are all tiles, contiguous but for the network's input. A part computes its share of the features.
  virtual size_t batch_statistics() const { return 0; }
  virtual void forward_of(const WholeBatch&, const Batch*, float*, float*, Epilogue, Part) const {}
  virtual void input_gradient_of(const WholeBatch&, const Batch*, const float*, float*, float* const*, const bool*,
                                 Part) const {}
  // Whether input_gradient_of() may write the gradient of the only value it reads over that of the value it makes,
  // which parameter_gradient_of() then does not read.
  virtual bool in_place() const { return false; }
  virtual void update_statistics(const float*, size_t) {}  // moves the running statistics towards those of a batch

  // To be called after a step of the optimiser, for what is to hold of what it moves.
  virtual void stepped() {}

  // What moves this operation, of a target, towards the one of the online network. Throws where they differ in kind.
  virtual std::unique_ptr<TargetStep> follow(const Operation& online, bool stale);
};

using OperationFactory = std::unique_ptr<Operation> (*)(const OperationSpec&);

// Makes a kind known under its name, in place of an earlier one; throws std::invalid_argument where it is one of those
// that operations/operations.hpp lists, which always are.
void register_operation(const std::string& kind, OperationFactory make);

// Throws std::invalid_argument where the spec or its kind is impossible.
std::unique_ptr<Operation> make_operation(const OperationSpec& spec);

}  // namespace rewirl
