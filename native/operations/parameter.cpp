// A free vector, the same for every sample: it reads nothing.
#include <algorithm>

#include "kernels/cpu.hpp"
#include "operations/operations.hpp"

namespace rewirl {
namespace {

class Parameter final : public Operation {
 public:
  explicit Parameter(const OperationSpec& spec)
      : Operation(spec, spec.count("size")),
        vector_(std::make_unique<Learnable>("values", static_cast<size_t>(features), spec.trainable)) {}
  const char* kind() const override { return "parameter"; }
  std::vector<Learnable*> learnables() const override { return {vector_.get()}; }

  void forward(const Forward& tile, Part) const override {
    for (size_t f = 0; f < vector_->values.size(); ++f)
      std::fill_n(tile.out + f * tile.width(), tile.width(), vector_->values[f]);
  }

  void input_gradient(const Backward&, Part) const override {}

  void parameter_gradient(const Backward& tile, const Buffer<float>* gradients, bool accumulate, float*,
                          Part part) const override {
    if (part.index == 0) kernels().row_sums(features, tile.d_out, gradients[0].data(), tile.vectors, accumulate);
  }

  void act(const float* const*, float* out, Epilogue) const override {
    std::copy(vector_->values.begin(), vector_->values.end(), out);
  }

  bool streams() const override { return true; }
  double trace(const float* const*, const float* d_out, float decay) const override {
    const float one = 1.0f;
    return kernels().trace(1, features, &one, d_out, decay, vector_->m.data());
  }

 private:
  std::unique_ptr<Learnable> vector_;
};

}  // namespace

std::unique_ptr<Operation> make_parameter(const OperationSpec& spec) {
  spec.require_inputs(0);
  return std::make_unique<Parameter>(spec);
}

}  // namespace rewirl
