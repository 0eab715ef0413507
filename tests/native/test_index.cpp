// How connections are laid out, and what is refused.
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
  check_throws<std::invalid_argument>([&] { Layer(4, 3, &beyond, 1, &value, true); }, "a place beyond the end");
  check_throws<std::invalid_argument>([&] { Layer(4, 3, &negative, 1, &value, true); }, "a negative place");
  check_throws<std::invalid_argument>([&] { Layer(4, 3, twice, 2, two, true); }, "a place given twice");
  check_throws<std::invalid_argument>([&] { Layer(4, 3, nullptr, 1, &value, true); },
                                      "a dense layer without its values");
  const int64_t far = int64_t{100000} * 100000 - 1;  // columns beyond the reach of 16 bits
  Layer wide(100000, 100000, &far, 1, &value, true);
  check(wide.places() == std::vector<int64_t>{far}, "the last place of a wide layer");
}

}  // namespace rewirl
