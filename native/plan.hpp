// How a network is computed: what is fused, what is kept where, and where the whole batch is needed.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "operation.hpp"

namespace rewirl {

struct Plan {
  Plan(int32_t n_in, const std::vector<std::unique_ptr<Operation>>& operations);

  struct Step {
    bool fused = false;                  // nothing to do in forward: the operation before it did it in its last step
    Epilogue epilogue = Epilogue::none;  // what it does of the operation after it
    bool gated = false;                  // its input gradient goes through the ReLU that made its input
    bool gate_done = false;              // of one fused away: the only reader of its value is gated
    std::vector<int32_t> in;             // the values it reads; a value that is fused away is that of the ReLU
    int32_t out = 0;
    std::unique_ptr<bool[]> accumulate;  // for each input: whether another operation has written its gradient before
  };
  std::vector<Step> steps;        // of every operation
  std::vector<int32_t> features;  // of every value
  std::vector<bool> stored;       // whether a value is one, and not fused away
  std::vector<bool> learns;       // whether what has been learnt moves a value
  std::vector<bool> of_input;     // whether the input does
  bool input_is_direct = false;   // only one linear operation reads the input
  int32_t output = 0;             // the last value

  // Memory that values share, or their gradients: the slot of each, -1 for none, and how large slots are, in features.
  struct Slots {
    std::vector<int32_t> of, features;
  };
  // Of gradients that need not stay: one is needed from the last reader of its value to what makes the value. [0] is
  // with running statistics, [1] with those of batches, where gradients may be written in place.
  Slots gradients[2];
  // Of hidden values of a tile, where they are not kept.
  Slots passing;
  // Of values in all tiles, where statistics of batches need them and no gradient does. Those of a slot have equally
  // many features: tiles that are done with one value do not meet others that are not.
  Slots whole_values;

  // Operations [begin, end) that a tile runs through; a stage of its own has each that needs the whole batch.
  struct Stage {
    size_t begin, end;
    bool whole_batch;
    size_t multiplications(const std::vector<std::unique_ptr<Operation>>& operations) const;  // of a sample
  };
  bool needs_batch = false;   // whether there is any
  std::vector<Stage> stages;  // with the statistics of batches
  std::vector<Stage> whole;   // with running ones: one stage

 private:
  void share_gradients(const std::vector<std::unique_ptr<Operation>>& operations, const std::vector<int>& readers);
  Slots shared_values(bool alike) const;  // alike: whether those of a slot have equally many features
};

}  // namespace rewirl
