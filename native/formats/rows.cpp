// Connections anywhere, row by row, for networks that see one sample at a time. Which columns of a row are connected is
// a mask of bits: a vector of inputs meets the packed values of a row without loading any index.
#include "formats/unstructured.hpp"

namespace rewirl {
namespace {

constexpr int32_t kMostColumns = 1 << 16;  // an index without blocks has 16 bits for each

const Blocking& whole_rows(const WeightsSpec& spec, Blocking& blocking) {
  if (spec.n_in > kMostColumns)
    throw std::invalid_argument("a layer that is stored row by row has at most 65,536 inputs, got " +
                                std::to_string(spec.n_in));
  blocking = {1, std::max(spec.n_in, int32_t{1})};
  return blocking;
}

class ByRow final : public Unstructured {
 public:
  ByRow(const WeightsSpec& spec, Blocking blocking) : Unstructured(spec, &whole_rows(spec, blocking)) {
    const MaskedRows a = rows();
    mask_ = Buffer<uint16_t>(static_cast<size_t>(n_out()) * a.words());
    index().each([&](uint32_t, int32_t r, int32_t c) {
      mask_[static_cast<size_t>(r) * a.words() + static_cast<size_t>(c / 16)] |= static_cast<uint16_t>(1u << c % 16);
    });
  }

  const char* format() const override { return "rows"; }

  void act(const float* x, float* y, const float* bias, bool relu) const override {
    kernels().masked_gemv(rows(), in_order(), x, y, bias, relu);
  }
  bool streams() const override { return true; }
  void pull(const float* d_out, float* d_in) const override {
    kernels().masked_transposed(rows(), values.data(), d_out, d_in);
  }
  float trace(const float* d_out, const float* x, float decay) const override {
    return kernels().masked_trace(rows(), d_out, x, decay, m.data());
  }

 private:
  MaskedRows rows() const { return {n_out(), n_in(), index().start.data(), mask_.data()}; }
  Buffer<uint16_t> mask_;
};

}  // namespace

std::unique_ptr<Weights> make_rows(const WeightsSpec& spec) { return std::make_unique<ByRow>(spec, Blocking{}); }

}  // namespace rewirl
