// Worker threads.
#include <atomic>
#include <chrono>
#include <thread>

#include "native_test.hpp"

namespace rewirl {

namespace {

// Longer than anybody in the pool spins before sleeping.
void spin_beyond_a_wait() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
  while (std::chrono::steady_clock::now() < end) {
  }
}

}  // namespace

void test_pool() {
  for (const int threads : {1, 2, 4}) {
    Pool pool(threads);
    check(pool.threads() == threads, "number of threads");
    for (int round = 0; round < 300; ++round) {
      const int tasks = round % 9;
      std::vector<int> done(static_cast<size_t>(tasks), 0);
      pool.run(tasks, [&](int i) { ++done[static_cast<size_t>(i)]; });
      if (!std::all_of(done.begin(), done.end(), [](int n) { return n == 1; }))
        check(false, "a task was not done once");
      if (round == 150) spin_beyond_a_wait();  // the workers fall asleep
    }
    std::atomic<int> late{0};
    for (int round = 0; round < 3; ++round)
      pool.run(threads, [&](int i) {
        if (i > 0) spin_beyond_a_wait();  // the caller falls asleep
        ++late;
      });
    check(late == 3 * threads, "tasks that take longer than a caller spins");
    check(true, "tasks");
    for (const int bad : {0, threads - 1})
      check_throws<std::runtime_error>(
          [&] {
            pool.run(4, [&](int i) {
              if (i == bad) throw std::runtime_error("task");
            });
          },
          "a task that throws");
    int sum = 0;
    pool.run(1, [&](int) { ++sum; });
    pool.close();
    pool.close();
    pool.run(5, [&](int) { ++sum; });
    check(sum == 6 && pool.threads() == 1, "a closed pool works in the caller");
  }
  for (int i = 0; i < 30; ++i) Pool unused(3);

  Pool shared(3);
  std::vector<std::thread> callers;
  std::vector<long> sums(4, 0);
  for (size_t c = 0; c < sums.size(); ++c)
    callers.emplace_back([&, c] {
      for (int round = 0; round < 50; ++round) {
        std::vector<long> parts(5, 0);
        shared.run(5, [&](int i) { parts[static_cast<size_t>(i)] = i + 1; });
        for (long part : parts) sums[c] += part;
      }
    });
  shared.close();  // while it is in use
  for (std::thread& caller : callers) caller.join();
  check(std::all_of(sums.begin(), sums.end(), [](long sum) { return sum == 50 * 15; }), "several callers of one pool");
}

}  // namespace rewirl
