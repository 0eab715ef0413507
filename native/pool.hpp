// A few worker threads beside the caller, for tasks of tens to hundreds of microseconds.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace rewirl {

// Task i of a run is done by thread i % threads in use (thread 0 is the caller), so results never depend on timing.
// A process forked from one with a pool has the pool but not its workers; there the caller does everything by itself.
// A waiting worker spins briefly, because the next task of an update usually comes within microseconds, then sleeps.
class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }
  void use(int threads);  // leaves so many in use, from 1 to as many as there are; the others sleep
  void run(int tasks, const std::function<void(int)>& task);  // throws what a task has thrown, once all are done
  void close();  // joins the workers after a run under way; afterwards run() does everything in the caller

 private:
  void work(int index);
  void share(int index);
  bool forked() const;  // whether the workers are those of another process

  const uint64_t generation_;  // of processes that fork, in which it was made
  // Apart from the rest, because a forked process must not destroy it.
  struct Shared {
    std::vector<std::thread> workers;
    std::mutex mutex;
    std::mutex run_mutex;  // one run at a time, whoever calls
    std::condition_variable wake, done;
  };

  std::unique_ptr<Shared> shared_ = std::make_unique<Shared>();
  std::atomic<int> threads_;       // in use
  std::atomic<uint64_t> turn_{0};  // counts the runs; the low 16 bits are the threads that take part in the last
  std::atomic<int> pending_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(int)>* task_ = nullptr;
  int tasks_ = 0;
  std::exception_ptr error_;  // the first that a task has thrown
};

}  // namespace rewirl
