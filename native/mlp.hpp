// A multilayer perceptron: ReLU after every layer but the last, with the activations of its last batch.
#pragma once
#include <cstdint>
#include <vector>

#include "layer.hpp"
#include "pool.hpp"

namespace rewirl {

struct Adam {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
};

class Mlp {
 public:
  explicit Mlp(std::vector<Layer> layers);

  // With a pool, its threads share the work of large layers; without, all is done by the caller.
  void forward(const Batch& x, Pool* pool = nullptr);
  // Gradients of a loss for the batch of the last forward(); gradient_out is [tiles][n_out][width], contiguous.
  // inputs_from < 0: no gradient of the inputs, else that of inputs [inputs_from, n_in). With `step`, which needs the
  // parameters, each layer takes its step of Adam while its gradients are still in the cache.
  void backward(const Batch& x, const float* gradient_out, bool parameters, int32_t inputs_from, Pool* pool = nullptr,
                const Adam* step = nullptr);
  void adam(const Adam& settings, Pool* pool = nullptr);
  // One step of Adam down the sum over the batch of weight * (output - target)^2, for a network of one output;
  // errors = output - target. targets, weights and errors are [tiles][width].
  void regress(const Batch& x, const float* targets, const float* weights, float* errors, const Adam& step);
  // The gradient of the last backward() or regress() for every place of a layer, connection or not, [n_out][n_in]; x is
  // its batch.
  void dense_gradient(const Batch& x, size_t layer, float* out);
  // Layer::rewire at the present step of the optimiser.
  void rewire(size_t layer, const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown);
  void count_ages();  // from now on Adam's bias correction goes by the age of each connection of a sparse layer
  void act(const float* x, float* y);

  std::vector<Layer> layers;
  int64_t steps = 0;      // of Adam
  bool followed = false;  // by a TargetUpdate, which orders its layers as it needs them
  int tiles = 0, vectors = 0;
  const Buffer<float>& output() const { return activations_.back(); }
  const Buffer<float>& hidden(size_t layer) const { return activations_[layer]; }  // only of a trainable network
  Buffer<float> input_gradient;
  int32_t input_gradient_from = 0;

 private:
  template <class Operation>
  void share(size_t multiplications, Pool* pool, const Operation& operation) const;
  size_t multiplications() const;  // of a forward pass
  void forward_tile(const Batch& x, int tile, Pool* pool);
  void input_gradient_tile(const Batch& x, size_t layer, int tile, int32_t inputs_from, Pool* pool);
  void connection_gradient(const Batch& x, size_t layer, Part part);
  void resize(int tiles, int vectors);
  void tabulate(const Adam& settings);
  AdamStep next_step(const Adam& settings);
  void step_layer(Layer& layer, const AdamStep& step, Part part);

  std::vector<Buffer<float>> activations_;  // of each layer, [tiles][n_out][width]
  std::vector<Buffer<float>> deltas_;       // the gradients of the activations, of the same shapes
  Buffer<float> scratch_;                   // of each thread, for the gradient of dense layers
  size_t scratch_floats_ = 0;               // of one thread
  Buffer<float> single_[2];                 // for act()
  bool ages_ = false;
  Adam tabulated_{};  // the settings of these tables over the age:
  Buffer<float> step_size_, inverse_root_c2_;
};

}  // namespace rewirl
