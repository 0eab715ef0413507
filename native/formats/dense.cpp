// Every place is a connection: no indices, and register-blocked products.
#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "formats/formats.hpp"
#include "index.hpp"
#include "kernels/cpu.hpp"

namespace rewirl {
namespace {

class Dense final : public Weights {
 public:
  explicit Dense(const WeightsSpec& spec) : Weights(spec) {
    if (spec.connections != static_cast<size_t>(spec.n_in) * static_cast<size_t>(spec.n_out))
      throw std::invalid_argument("a dense layer of " + std::to_string(spec.n_in) + " inputs and " +
                                  std::to_string(spec.n_out) + " outputs needs " +
                                  std::to_string(static_cast<int64_t>(spec.n_in) * spec.n_out) + " values, got " +
                                  std::to_string(spec.connections));
    std::copy(spec.values, spec.values + spec.connections, values.begin());
    if (spec.order) *spec.order = counted(spec.connections);
  }

  const char* format() const override { return "dense"; }
  bool dense() const override { return true; }

  std::vector<int64_t> places() const override {
    std::vector<int64_t> result(connections());
    std::iota(result.begin(), result.end(), int64_t{0});
    return result;
  }
  std::vector<uint32_t> row_major() const override { return counted(connections()); }

  size_t scratch_rows() const override { return (static_cast<size_t>(n_in()) + kPanel - 1) / kPanel * kPanel; }

  void forward(const float* x, float* y, int vectors, const float* bias, Epilogue epilogue, Part part) const override {
    const int begin = static_cast<int>(part.begin(n_out())), end = static_cast<int>(part.end(n_out()));
    kernels().gemm(end - begin, n_in(), row(begin), n_in(), 1, x, y + static_cast<ptrdiff_t>(begin) * kLane * vectors,
                   vectors, bias ? bias + begin : nullptr, epilogue, nullptr);
  }

  void input_gradient(const float* dy, float* dx, int vectors, int32_t from, const float* gates,
                      Part part) const override {
    const int begin = from + static_cast<int>(part.begin(n_in() - from));
    const int end = from + static_cast<int>(part.end(n_in() - from));
    const ptrdiff_t width = ptrdiff_t{kLane} * vectors;
    kernels().gemm(end - begin, n_out(), values.data() + begin, 1, n_in(), dy, dx + (begin - from) * width, vectors,
                   nullptr, gates ? Epilogue::gate : Epilogue::none, gates ? gates + begin * width : nullptr);
  }

  void weight_gradient(const float* dy, const float* x, float* gradient, int vectors, bool accumulate, float* scratch,
                       Part part) const override {  // parts are columns
    kernels().dense_gradient(n_out(), n_in(), dy, x, gradient, vectors, static_cast<int>(part.begin(n_in(), kPanel)),
                             static_cast<int>(part.end(n_in(), kPanel)), accumulate, scratch);
  }

  void stretches(Part part, const Visit& visit) const override {
    if (part.count == 1) return visit(size_t{0}, values.size());
    for (int32_t r = 0; r < n_out(); ++r) {
      const size_t row = static_cast<size_t>(r) * static_cast<size_t>(n_in());
      visit(row + static_cast<size_t>(part.begin(n_in(), kPanel)), row + static_cast<size_t>(part.end(n_in(), kPanel)));
    }
  }

  void act(const float* x, float* y, const float* bias, bool relu) const override {
    kernels().gemv(n_out(), n_in(), values.data(), x, y, bias, relu);
  }

  bool streams() const override { return true; }
  void pull(const float* d_out, float* d_in) const override {
    kernels().gemv_transposed(n_out(), n_in(), values.data(), d_out, d_in);
  }
  float trace(const float* d_out, const float* x, float decay) const override {
    return kernels().trace(n_out(), n_in(), d_out, x, decay, m.data());
  }

  void unit_rows() override { kernels().unit_rows(n_out(), n_in(), values.data()); }

  std::unique_ptr<Weights> rewired(const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown,
                                   uint32_t step, bool ages) const override {
    // A connection's position is its place here, so what grows has to be among what is dropped.
    std::vector<int64_t> free(dropped, dropped + n_dropped);
    std::sort(free.begin(), free.end());
    for (size_t i = 0; i < n_grown; ++i)
      if (!std::binary_search(free.begin(), free.end(), grown[i]))
        throw std::invalid_argument("a dense layer has no empty place to grow a connection in");
    if (n_dropped == 0) return nullptr;
    return Weights::rewired(dropped, n_dropped, grown, n_grown, step, ages);
  }

 private:
  const char* format_when_rewired() const override {
    return height() > 1 ? "blocks" : by_row() ? "rows" : "unstructured";
  }
  const float* row(int r) const { return values.data() + static_cast<ptrdiff_t>(r) * n_in(); }
};

}  // namespace

std::unique_ptr<Weights> make_dense(const WeightsSpec& spec) { return std::make_unique<Dense>(spec); }

}  // namespace rewirl
