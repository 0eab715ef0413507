// What hidden units are worth, against the formula.
#include "native_test.hpp"
#include "units.hpp"

namespace rewirl {

void test_units() {
  const size_t units = 5, width = 32, samples = 45, n_in = 19, n_out = 3;
  const int tiles = 2;
  const std::vector<float> h = random_floats(tiles * units * width);
  std::vector<float> weights(tiles * width);
  for (size_t s = 0; s < samples; ++s) weights[s] = 1.0f / samples;
  const std::vector<float> in = random_floats(units * n_in), out = random_floats(n_out * units);
  std::vector<int32_t> into(in.size()), out_of(out.size());
  for (size_t k = 0; k < in.size(); ++k) into[k] = static_cast<int32_t>(k / n_in);
  for (size_t k = 0; k < out.size(); ++k) out_of[k] = static_cast<int32_t>(k % units);
  const auto mean = [&](size_t i, const std::function<double(double)>& f) {
    double sum = 0;
    for (size_t s = 0; s < samples; ++s) sum += f(h[s / width * units * width + i * width + s % width]);
    return sum / samples;
  };
  for (const bool adaptable : {false, true})
    for (const bool listed : {false, true}) {
      std::vector<int64_t> age(units);
      std::vector<double> activation(units), utility(units);
      const UnitRecords records{units, age.data(), activation.data(), utility.data()};
      const UnitConnections entering{in.data(), listed ? into.data() : nullptr, in.size()};
      const UnitConnections leaving{out.data(), listed ? out_of.data() : nullptr, out.size()};
      for (int step = 0; step < 2; ++step)
        observe_units(h.data(), weights.data(), tiles, width, entering, leaving, 0.75, adaptable, records);
      bool good = true;
      for (size_t i = 0; i < units; ++i) {
        double arriving = 0, left = 0;
        for (size_t j = 0; j < n_in; ++j) arriving += std::fabs(in[i * n_in + j]);
        for (size_t j = 0; j < n_out; ++j) left += std::fabs(out[j * units + i]);
        const double usual = mean(i, [](double x) { return x; });  // the same in both steps
        const double center = adaptable ? usual : 0;
        const double worth =
            left * mean(i, [&](double x) { return std::fabs(x - center); }) / (adaptable ? arriving : 1);
        const double share = 1 - 0.75 * 0.75;
        good &= age[i] == 2 && std::fabs(activation[i] - share * usual) < 1e-6 &&
                std::fabs(utility[i] - share * worth) < 1e-5;
      }
      check(good, std::string("units of ") + (listed ? "listed connections" : "dense layers"));
    }
  std::vector<int64_t> age(units);
  std::vector<double> activation(units), utility(units);
  const UnitRecords records{units, age.data(), activation.data(), utility.data()};
  for (const int32_t wrong : {-1, 5}) {
    out_of[2] = wrong;
    check_throws<std::invalid_argument>(
        [&] {
          observe_units(h.data(), weights.data(), tiles, width, {in.data(), into.data(), in.size()},
                        {out.data(), out_of.data(), out.size()}, 0.75, true, records);
        },
        "a connection of no unit");
  }
}

}  // namespace rewirl
