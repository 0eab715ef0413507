// An operation of one's own in one file: y = scale * x^2 + offset, of each feature, with a scale that is learnt.
#include "library.hpp"

namespace rewirl {
namespace {

class Square final : public Operation {
 public:
  explicit Square(const OperationSpec& spec)
      : Operation(spec, spec.features[0]),
        scale_(std::make_unique<Learnable>("scale", static_cast<size_t>(features), spec.trainable)),
        offset_(static_cast<float>(spec.number("offset"))) {
    for (float& scale : scale_->values) scale = 1.0f;
  }
  const char* kind() const override { return "square"; }
  std::vector<Learnable*> learnables() const override { return {scale_.get()}; }
  void forward(const Forward& tile, Part) const override {
    for (size_t i = 0; i < tile.numbers(features); ++i)
      tile.out[i] = scale_->values[i / tile.width()] * tile.in[0][i] * tile.in[0][i] + offset_;
  }
  void input_gradient(const Backward& tile, Part) const override {
    for (size_t i = 0; i < tile.numbers(features); ++i) {
      const float own = 2.0f * scale_->values[i / tile.width()] * tile.in[0][i] * tile.d_out[i];
      tile.d_in[0][i] = tile.accumulate[0] ? tile.d_in[0][i] + own : own;
    }
  }
  void parameter_gradient(const Backward& tile, const Buffer<float>* gradients, bool accumulate, float*,
                          Part part) const override {
    for (size_t f = 0; f < gradients[0].size() && part.index == 0; ++f) {
      float sum = 0.0f;
      for (size_t s = 0; s < tile.width(); ++s) {
        const float x = tile.in[0][f * tile.width() + s];
        sum += tile.d_out[f * tile.width() + s] * x * x;
      }
      gradients[0][f] = accumulate ? gradients[0][f] + sum : sum;
    }
  }
  void act(const float* const* in, float* out, Epilogue) const override {
    for (size_t f = 0; f < static_cast<size_t>(features); ++f)
      out[f] = scale_->values[f] * in[0][f] * in[0][f] + offset_;
  }

 private:
  std::unique_ptr<Learnable> scale_;
  float offset_;
};

std::unique_ptr<Operation> make_square(const OperationSpec& spec) {
  spec.require_inputs(1);
  return std::make_unique<Square>(spec);
}

}  // namespace

REWIRL_REGISTER { register_operation("square", make_square); }

}  // namespace rewirl
