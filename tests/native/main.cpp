// The core against plain double loops, to be run under sanitizers: every array that goes in has exactly the size it
// needs.
//
//   native_tests          everything, on every instruction set of this machine
//   native_tests pool     the threads only
#include <cstdio>
#include <cstring>

#include "native_test.hpp"

using namespace rewirl;

int main(int count, char** arguments) {
  const bool pool_only = count > 1 && std::strcmp(arguments[1], "pool") == 0;
  if (count > 1 && !pool_only) {
    std::printf("usage: %s [pool]\n", arguments[0]);
    return 2;
  }
  test_pool();
  for (const int height : {1, 4}) test_predicting_beside_learning(height);
  if (pool_only)
    test_threads();
  else
    for (const std::string& name : available_instruction_sets()) {
      use_instruction_set(name);
      test_weights();
      test_elementwise();
      test_index();
      test_networks();
      test_targets();
      test_products();
      test_threads();
    }
  if (!pool_only) test_units();
  check_throws<std::invalid_argument>([] { use_instruction_set("none"); }, "an unknown instruction set");
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
