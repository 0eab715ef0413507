// A network that learns from one sample at a time: eligibility traces and steps of bounded size.
#pragma once
#include <vector>

#include "network.hpp"

namespace rewirl {

// Overshooting-bounded gradient descent (Elsayed et al. 2024).
struct ObGD {
  float learning_rate;  // alpha
  float kappa;          // how far a step has to stay from overshooting
  float decay;          // of the traces, gamma * lambda
  bool reset;           // whether the traces are zero after the step
};

// Of a network that has to live as long. The traces are what Adam has for first moments, so they come, go and are saved
// with the connections. Nothing is allocated after the constructor, which throws std::invalid_argument naming the
// operation that cannot learn so.
class Stream {
 public:
  explicit Stream(Network& network);

  // Keeps hidden values for step(), and the output.
  void forward(const float* x);
  const Buffer<float>& output() const { return values_.back(); }

  // With the gradients of the outputs for the sample of the last forward():
  //   z = decay * z + gradient,  M = alpha * kappa * max(|error|, 1) * ||z||_1,  w += alpha / max(M, 1) * error * z.
  // Returns alpha / max(M, 1).
  double step(const float* d_out, float error, const ObGD& settings);

  const Network& network() const { return network_; }

 private:
  void look_up();
  Network& network_;
  std::vector<Buffer<float>> values_, gradients_;  // of every value of the network
  std::vector<std::vector<const float*>> in_;      // what each operation reads
  std::vector<std::vector<float*>> d_in_;          // their gradients; null for the input of the network
  std::vector<Linear*> linear_;                    // and of each the topology that
  std::vector<uint64_t> versions_;                 // these are of:
  std::vector<Learnable*> learnables_;             // all that is learnt
};

}  // namespace rewirl
