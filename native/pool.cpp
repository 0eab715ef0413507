#include "pool.hpp"

#include <pthread.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/cpu.hpp"

namespace rewirl {
namespace {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr auto kSpin = std::chrono::microseconds(200);
// Between two updates lies a step of the environment; waking a sleeping thread after it takes longer than the hand-over
// saves.
constexpr auto kSpinForWork = std::chrono::microseconds(1000);

// How many forks lie between this process and the one that loaded this library.
std::atomic<uint64_t> generation{0};
const int counts_forks = pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

Pool::Pool(int threads) : generation_(generation.load(std::memory_order_relaxed)), threads_(threads) {
  try {
    for (int i = 1; i < threads; ++i) shared_->workers.emplace_back([this, i] { work(i); });
  } catch (...) {
    close();  // those that the system did give: nobody else would join them
    throw;
  }
}

Pool::~Pool() { close(); }

bool Pool::forked() const { return generation.load(std::memory_order_relaxed) != generation_; }

void Pool::close() {
  if (forked()) {
    // There is nobody to join, a mutex may have been held by a thread that is not here, and destroying a condition that
    // threads wait for does not return.
    static_cast<void>(shared_.release());
    threads_ = 1;
    return;
  }
  const std::lock_guard<std::mutex> after_the_run_under_way(shared_->run_mutex);
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    stop_ = true;
  }
  shared_->wake.notify_all();
  for (std::thread& worker : shared_->workers) worker.join();
  shared_->workers.clear();
  threads_ = 1;
}

void Pool::use(int threads) {
  if (forked()) return;
  const std::lock_guard<std::mutex> after_the_run_under_way(shared_->run_mutex);
  if (threads < 1 || threads > static_cast<int>(shared_->workers.size()) + 1)
    throw std::invalid_argument("the pool has " + std::to_string(shared_->workers.size() + 1) +
                                " threads, it cannot use " + std::to_string(threads));
  threads_ = threads;
}

void Pool::share(int index) {
  const int stride = threads();
  try {
    for (int i = index; i < tasks_; i += stride) (*task_)(i);
  } catch (...) {
    const std::lock_guard<std::mutex> lock(shared_->mutex);
    if (!error_) error_ = std::current_exception();
  }
}

void Pool::run(int tasks, const std::function<void(int)>& task) {
  // Callers hold locks of networks, in which tasks of the run under way may need them: so nobody waits for its end
  // here, and the threads being taken, this one does all.
  std::unique_lock<std::mutex> one_at_a_time;
  if (!forked()) one_at_a_time = std::unique_lock<std::mutex>(shared_->run_mutex, std::try_to_lock);
  const FlushSubnormals flush;
  if (!one_at_a_time.owns_lock() || threads() == 1 || tasks <= 1) {
    for (int i = 0; i < tasks; ++i) task(i);
    return;
  }
  task_ = &task;
  tasks_ = tasks;
  pending_.store(threads() - 1, std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    turn_.store(((turn_.load(std::memory_order_relaxed) >> 16) + 1) << 16 | static_cast<uint64_t>(threads()),
                std::memory_order_release);
  }
  shared_->wake.notify_all();
  share(0);
  // The others are usually done within microseconds; on a machine with other work to do they may not be running at all,
  // and a caller that spins would keep them from it.
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  for (int spins = 0; pending_.load(std::memory_order_acquire) > 0; ++spins) {
    relax();
    if (spins % 64 != 63 || std::chrono::steady_clock::now() < deadline) continue;
    std::unique_lock<std::mutex> lock(shared_->mutex);
    shared_->done.wait(lock, [&] { return pending_.load(std::memory_order_acquire) == 0; });
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Pool::work(int index) {
  const FlushSubnormals flush;
  uint64_t seen = 0;
  while (true) {
    const auto deadline = std::chrono::steady_clock::now() + kSpinForWork;
    for (int spins = 0; turn_.load(std::memory_order_acquire) == seen && !stop_; ++spins) {
      relax();
      const bool in_use = index < threads();
      if (in_use && (spins % 64 != 63 || std::chrono::steady_clock::now() < deadline)) continue;
      std::unique_lock<std::mutex> lock(shared_->mutex);
      shared_->wake.wait(lock, [&] { return turn_.load(std::memory_order_acquire) != seen || stop_; });
    }
    if (stop_) return;
    seen = turn_.load(std::memory_order_acquire);
    if (index >= static_cast<int>(seen & 0xffff)) continue;
    share(index);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      {
        const std::lock_guard<std::mutex> lock(shared_->mutex);
      }  // a caller about to sleep has either seen this or sleeps by now
      shared_->done.notify_one();
    }
  }
}

}  // namespace rewirl
