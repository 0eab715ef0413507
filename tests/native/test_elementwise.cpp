// Adam, the soft update, and cutting small weights.
#include "native_test.hpp"

namespace rewirl {

void test_elementwise() {
  for (size_t n = 0; n <= 40; ++n) {
    std::vector<float> w = random_floats(n), v = random_floats(n);
    const std::vector<float> g = random_floats(n), m = random_floats(n), online = random_floats(n), before = w;
    for (float& x : v) x = std::fabs(x);
    const AdamStep step{0.01f, 1.5f, 0.9f, 0.999f, 1e-8f, 0.1f};
    std::vector<float> w1 = w, m1 = m, v1 = v, w2 = w, m2 = m, v2 = v;
    kernels().adam(n, w1.data(), g.data(), m1.data(), v1.data(), step);
    bool good = true;
    for (size_t i = 0; i < n; ++i) {
      const double gradient = g[i] + double{step.weight_decay} * w[i];
      const double first = 0.9 * m[i] + 0.1 * gradient, second = 0.999 * v[i] + 0.001 * gradient * gradient;
      const double expected = w[i] - 0.01 * first / (std::sqrt(second) * 1.5 + 1e-8);
      good &= std::fabs(m1[i] - first) < 1e-6 && std::fabs(v1[i] - second) < 1e-6 && std::fabs(w1[i] - expected) < 1e-5;
    }
    check(good, "adam of " + std::to_string(n));

    const std::vector<float> sizes{0.0f, 0.5f, 0.01f}, roots{0.0f, 3.0f, 1.5f};
    const std::vector<uint32_t> old(n, 0);
    kernels().adam_by_age(n, w2.data(), g.data(), m2.data(), v2.data(), step, old.data(), 9, sizes.data(), roots.data(),
                          3);
    check(w1 == w2 && m1 == m2 && v1 == v2, "adam by age of " + std::to_string(n));

    for (const float* from : {online.data(), static_cast<const float*>(nullptr)}) {
      w = before;
      kernels().interpolate(n, w.data(), from, 0.25f);
      good = true;
      for (size_t i = 0; i < n; ++i)
        good &= std::fabs(w[i] - ((from ? 0.25 * from[i] : 0.0) + 0.75 * before[i])) < 1e-6;
      check(good, "interpolate " + std::to_string(n));
    }

    w = before;
    for (size_t i = 0; i < n; i += 3) w[i] = i % 2 ? -0.0f : 0.0f;
    if (n > 4) w[4] = 0.5f;
    if (n > 7) w[7] = -0.25f;
    for (const float low : {0.0f, 0.25f}) {
      std::vector<uint32_t> index(n + kLane), expected;
      const Small found = kernels().small(n, w.data(), low, 0.5f, index.data());
      size_t zeros = 0, below = 0;
      for (size_t i = 0; i < n; ++i) {
        const float magnitude = std::fabs(w[i]);
        if (magnitude != 0 && magnitude >= low && magnitude <= 0.5f) expected.push_back(static_cast<uint32_t>(i));
        below += magnitude != 0 && magnitude < low;
        zeros += magnitude == 0;
      }
      index.resize(found.found);
      check(index == expected && found.zeros == zeros && found.below == below,
            "small magnitudes of " + std::to_string(n));
    }
    std::vector<float> expected_cut = w, found_cut = w;
    if (n > 0) expected_cut[n - 1] = found_cut[n - 1] = NAN;
    for (float& x : expected_cut)
      if (std::fabs(x) < 0.25f) x = 0.0f;
    kernels().cut(n, found_cut.data(), 0.25f);
    good = true;
    for (size_t i = 0; i < n; ++i)
      good &= found_cut[i] == expected_cut[i] || (std::isnan(found_cut[i]) && std::isnan(expected_cut[i]));
    check(good, "cut of " + std::to_string(n));
  }
}

}  // namespace rewirl
