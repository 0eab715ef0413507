// What a pass through a network writes: activations, gradients and statistics. The caller owns it, one for each thread.
#pragma once
#include <cstdint>
#include <mutex>
#include <vector>

#include "buffer.hpp"
#include "operation.hpp"

namespace rewirl {

class Network;

// Of one network, which has to live as long. It takes the size of the batch it is used with, and follows rewirings.
class Workspace {
 public:
  // keep: hidden values are kept, for the gradients; else only the output is. batch_statistics: operations that need
  // the whole batch use its statistics; else their running ones. Both are what training needs. keep_gradients: those of
  // hidden values are kept, for dense_gradient(); else they may share memory, which fits into a cache sooner.
  Workspace(const Network& network, bool keep, bool batch_statistics, bool keep_gradients = true);
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  const Network& network;
  const bool keep, batch_statistics, keep_gradients;
  bool whole() const { return keep || batch_statistics; }  // whether hidden values are stored in all tiles

  // Of the last forward.
  int tiles = 0, vectors = 0, parts = 1;
  size_t samples = 0;
  WholeBatch batch() const { return {tiles, vectors, samples, parts}; }
  size_t width() const { return static_cast<size_t>(kLane) * static_cast<size_t>(vectors); }
  const Buffer<float>& output() const;
  // The value an operation made, [tiles][features][width]; a linear one that does the ReLU after it made that one's.
  const Buffer<float>& value(size_t operation) const;

  // Of the last backward that asked for them: of inputs [input_gradient_from, n_in), [tiles][..][width].
  Buffer<float> input_gradient;
  int32_t input_gradient_from = 0;

  // Of every operation's learnables; of the last backward, or what the caller writes. Made by prepare_gradients().
  std::vector<std::vector<Buffer<float>>> gradients;
  void prepare_gradients();        // makes those that are missing or of another topology
  void require_gradients() const;  // throws where they are missing or of another topology

  bool gradients_computed() const;  // whether a backward has been done on the memory of now

  uint64_t generation = 0;  // counts the times that activations got other memory
  std::mutex in_use;        // by one pass at a time

 private:
  friend class Network;
  void resize(int tiles, int vectors);
  void allocate();  // what a batch of this size needs
  void prepare_backward(int threads);

  std::vector<Buffer<float>> values_;           // by value; empty if it is not kept, or is another's
  std::vector<Buffer<float>> value_gradients_;  // the same for their gradients
  std::vector<Buffer<float>> kept_;             // by operation, [tiles][kept_rows][width]
  std::vector<Buffer<float>> statistics_;       // by operation, of the whole batch
  std::vector<uint64_t> versions_;              // by operation, of the topology that `gradients` are of
  bool gradients_share_ = false;
  size_t scratch_floats_ = 0;  // of one thread
  Buffer<float> scratch_;
};

}  // namespace rewirl
