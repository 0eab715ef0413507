// Learning from one sample at a time.
#include "stream.hpp"

#include <cmath>

#include "bindings/arguments.hpp"
#include "online.hpp"

namespace rewirl {
namespace {

template <class Array>
void require_length(const Array& array, size_t length, const char* what) {
  require_aligned(array);
  REQUIRE(array.shape(0) == length, std::string(what) + " has " + std::to_string(array.shape(0)) +
                                        " numbers, expected " + std::to_string(length));
}

}  // namespace

void bind_stream(nb::module_& m) {
  nb::class_<Stream>(m, "Stream", "A network that learns from one sample at a time, by eligibility traces and ObGD.")
      .def(nb::init<Network&>(), "network"_a, nb::keep_alive<1, 2>())
      .def(
          "forward",
          [](Stream& s, const Vector<float>& x) {
            require_length(x, static_cast<size_t>(s.network().n_in()), "the sample");
            const FlushSubnormals flush;
            s.forward(x.data());
          },
          "x"_a, "Run a sample through the network.")
      .def(
          "output", [](const Stream& s) { return view(s.output(), {static_cast<size_t>(s.network().n_out())}); },
          "A view of the output of the last forward.")
      .def(
          "step",
          [](Stream& s, const Vector<float>& d_out, float error, float learning_rate, float kappa, float decay,
             bool reset) {
            require_length(d_out, static_cast<size_t>(s.network().n_out()), "the gradient of the output");
            REQUIRE(learning_rate >= 0.0f && std::isfinite(learning_rate),
                    "the learning rate must be finite, 0 or more");
            REQUIRE(kappa >= 0.0f && std::isfinite(kappa), "kappa must be finite, 0 or more");
            REQUIRE(decay >= 0.0f && decay <= 1.0f, "the decay of traces must be from 0 to 1");
            const FlushSubnormals flush;
            return s.step(d_out.data(), error, {learning_rate, kappa, decay, reset});
          },
          "d_out"_a, "error"_a, "learning_rate"_a, "kappa"_a, "decay"_a, "reset"_a,
          "Move the traces by the gradient for the last forward's sample, and take a step of bounded size; its size.");

  m.def(
      "count_and_normalise",
      [](int64_t count, const Vector<float>& x, const WritableVector<double>& mean,
         const WritableVector<double>& variance, double epsilon, const WritableVector<float>& out) {
        const size_t n = x.shape(0);
        REQUIRE(count >= 1, "the count includes the vector");
        require_aligned(x);
        require_length(mean, n, "the mean");
        require_length(variance, n, "the variance");
        require_length(out, n, "the output");
        count_and_normalise(n, count, x.data(), mean.data(), variance.data(), epsilon, out.data());
      },
      "count"_a, "x"_a, "mean"_a.noconvert(), "variance"_a.noconvert(), "epsilon"_a, "out"_a.noconvert(),
      "Count a vector in running statistics, and normalise it by them.");

  m.def(
      "sample_softplus",
      [](const Vector<float>& outputs, const Vector<float>& noise, const WritableVector<float>& action) {
        require_length(noise, action.shape(0), "the noise");
        require_length(outputs, 2 * action.shape(0), "the output");
        require_aligned(action);
        sample_softplus(action.shape(0), outputs.data(), noise.data(), action.data());
      },
      "outputs"_a, "noise"_a, "action"_a.noconvert(), "mean + softplus(raw) * noise, of outputs [mean, raw].");

  m.def(
      "softplus_gradient",
      [](const Vector<float>& outputs, const Vector<float>& action, float entropy_weight,
         const WritableVector<float>& gradient) {
        require_length(outputs, 2 * action.shape(0), "the output");
        require_length(gradient, 2 * action.shape(0), "the gradient");
        require_aligned(action);
        softplus_gradient(action.shape(0), outputs.data(), action.data(), entropy_weight, gradient.data());
      },
      "outputs"_a, "action"_a, "entropy_weight"_a, "gradient"_a.noconvert(),
      "The gradient of ln N(action | mean, softplus(raw)) + entropy_weight * entropy.");
}

}  // namespace rewirl
