// How connections are laid out, and what is refused.
#include "index.hpp"
#include "native_test.hpp"

namespace rewirl {

void test_index() {
  for (const int64_t columns : {1, 63, 64, 65, 200, 1000, 200000})
    for (const int64_t connections : {int64_t{0}, int64_t{1}, columns * 3, columns * 30}) {
      const int block = blocking(30, columns, std::min(connections, 30 * columns)).block;
      check(block >= 1 && block <= 65536 && block <= columns, "block of " + std::to_string(columns) + " columns");
    }
  const float value = 1.0f, two[] = {1.0f, 2.0f};
  const int64_t beyond = 12, negative = -1, twice[] = {5, 5};
  const auto sparse = [](int32_t n_in, int32_t n_out, const int64_t* places, size_t n, const float* values) {
    return make_weights("unstructured", {n_in, n_out, places, n, values, true});
  };
  check_throws<std::invalid_argument>([&] { sparse(4, 3, &beyond, 1, &value); }, "a place beyond the end");
  check_throws<std::invalid_argument>([&] { sparse(4, 3, &negative, 1, &value); }, "a negative place");
  check_throws<std::invalid_argument>([&] { sparse(4, 3, twice, 2, two); }, "a place given twice");
  check_throws<std::invalid_argument>([&] { sparse(4, 3, nullptr, 1, &value); }, "connections without places");
  check_throws<std::invalid_argument>([&] { make_weights("dense", {4, 3, nullptr, 1, &value, true}); },
                                      "a dense layer without its values");
  check_throws<std::invalid_argument>([&] { make_weights("round", {4, 3, nullptr, 1, &value, true}); },
                                      "an unknown format");
  const int64_t far = int64_t{100000} * 100000 - 1;  // columns beyond the reach of 16 bits
  check(sparse(100000, 100000, &far, 1, &value)->places() == std::vector<int64_t>{far},
        "the last place of a wide layer");
}

}  // namespace rewirl
