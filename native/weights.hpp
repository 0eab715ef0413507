// The weights of a linear layer behind one interface. A storage format is one type in formats/ and a line in its list.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "buffer.hpp"
#include "cut.hpp"
#include "kernels/kernels.hpp"
#include "tiles.hpp"

namespace rewirl {

// An array that an optimiser moves. One of a network that is not trained has no moments.
struct Learnable {
  Learnable() = default;
  Learnable(std::string given, size_t n, bool trainable) : name(std::move(given)), values(n) {
    if (!trainable) return;
    m = Buffer<float>(n);
    v = Buffer<float>(n);
  }
  std::string name;
  Buffer<float> values, m, v;
  Buffer<uint32_t> born;  // the step of the optimiser after which each began; empty when ages do not count
};

// What weights are made of.
struct WeightsSpec {
  int32_t n_in, n_out;
  const int64_t* places;  // row * n_in + column, distinct, any order; of formats that store all places: not read
  size_t connections;
  const float* values;  // in the order of the places, row by row where there are none
  bool trainable;
  std::vector<uint32_t>* order = nullptr;  // if given, set to where each of the new values is in `values`
  int32_t height = 1;                      // outputs of a block, where connections come and go in blocks
  bool by_row = false;                     // of one sample at a time: what becomes of it is stored row by row
};

// Of a matrix [n_out][n_in] whose places exist or not. Memory grows with the connections. Weights that are trained have
// an order of their own, which follows from their places alone: a resumed run has them in another order in the spec.
// Others keep the order of the spec: a target is updated from values in the order of another topology.
class Weights : public Learnable {
 public:
  explicit Weights(const WeightsSpec& spec);
  virtual ~Weights() = default;
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  virtual const char* format() const = 0;
  virtual bool dense() const { return false; }  // all places exist, and values are row by row
  int32_t n_in() const { return n_in_; }
  int32_t n_out() const { return n_out_; }
  bool trainable() const { return trainable_; }
  int32_t height() const { return height_; }
  bool by_row() const { return by_row_; }
  // The smallest that comes and goes: the place itself, or where the block of a place begins. Sorted by unit and place
  // the places of a block are side by side.
  int64_t unit(int64_t place) const;
  size_t connections() const { return values.size(); }
  virtual std::vector<int64_t> places() const = 0;      // in the order of values
  virtual std::vector<uint32_t> row_major() const = 0;  // positions in values of the places sorted by row and column
  virtual int64_t panel() const { return 1; }           // outputs that a part never divides
  virtual size_t scratch_rows() const { return 0; }     // rows of a tile that weight_gradient needs as scratch memory

  // y = epilogue(bias + weights x), rows of one part; bias may be null.
  virtual void forward(const float* x, float* y, int vectors, const float* bias, Epilogue epilogue,
                       Part part) const = 0;
  // dx rows [from, n_in); gates (or null) are the outputs of the ReLU that made x.
  virtual void input_gradient(const float* dy, float* dx, int vectors, int32_t from, const float* gates,
                              Part part) const = 0;
  virtual void weight_gradient(const float* dy, const float* x, float* gradient, int vectors, bool accumulate,
                               float* scratch, Part part) const = 0;
  // Formats that take all tiles of a batch at once: dy is contiguous. The others are called tile by tile.
  virtual bool whole_batch() const { return false; }
  virtual void batch_gradient(const float* dy, const Batch& x, float* gradient, Part part) const;
  // Calls visit(begin, end) for the stretches of `values` whose gradients weight_gradient() computes in this part.
  using Visit = std::function<void(size_t, size_t)>;
  virtual void stretches(Part part, const Visit& visit) const = 0;
  virtual void act(const float* x, float* y, const float* bias, bool relu) const = 0;  // a single sample

  // Learning from a single sample, of formats that can. d_in += weights^T d_out; and the traces m become decay * m +
  // d_out x^T, where the sum of their magnitudes is returned.
  virtual bool streams() const { return false; }
  virtual void pull(const float* d_out, float* d_in) const;
  virtual float trace(const float* d_out, const float* x, float decay) const;

  // Divides the values of each row by their Euclidean norm; rows without any, or of zeros, stay what they are.
  virtual void unit_rows();

  // To be called when `values` have been written to, by whoever may do so.
  virtual void changed() {}

  // Keeps the largest units and makes the others zero, so that at most so many connections are not (MaintainSparsity,
  // Sokar et al. 2022).
  virtual void keep_largest(Cut& cut, size_t most) { cut.keep_largest(connections(), values.data(), most); }

  // Weights without the connections at these positions of `values` and with `grown` places of zero value and moments,
  // born at this step of the optimiser where ages count; where they did not yet, survivors are born at 0. They may be
  // of another format; null if nothing changes.
  virtual std::unique_ptr<Weights> rewired(const int64_t* dropped, size_t n_dropped, const int64_t* grown,
                                           size_t n_grown, uint32_t step, bool ages) const;

 protected:
  virtual const char* format_when_rewired() const { return format(); }

 private:
  int32_t n_in_, n_out_, height_;
  bool by_row_, trainable_;
};

using WeightsFactory = std::unique_ptr<Weights> (*)(const WeightsSpec&);

// Makes a format known under its name, in place of an earlier one; throws std::invalid_argument where it is one of
// those that formats/formats.hpp lists, which always are.
void register_format(const std::string& name, WeightsFactory make);

// Throws std::invalid_argument where the spec or the name of the format is impossible.
std::unique_ptr<Weights> make_weights(const std::string& format, const WeightsSpec& spec);

}  // namespace rewirl
