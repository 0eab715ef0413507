// A network: a list of operations over numbered values.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "operation.hpp"
#include "operations/linear.hpp"
#include "optimiser.hpp"
#include "plan.hpp"
#include "pool.hpp"
#include "workspace.hpp"

namespace rewirl {

// Who shares the work of a pass: a pool, or nobody. Threads are counted once, as Pool::use may come in between.
struct Threads {
  Threads(Pool* of) : pool(of), count(of ? of->threads() : 1) {}
  Pool* pool;
  int count;
};

// Several threads may run passes at once, each with a workspace of its own: those that change nothing share the
// network, and whatever changes it waits until they are through. With a pool, its threads share the work of large
// layers; without, all is done by the caller.
class Network {
 public:
  // Operation i makes value i + 1; the last is the output. Throws std::invalid_argument naming what is impossible.
  Network(int32_t n_in, std::vector<OperationSpec> specs, bool trainable);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  int32_t n_in() const { return n_in_; }
  int32_t n_out() const { return operations_.back()->features; }
  bool trainable() const { return trainable_; }
  const std::vector<std::unique_ptr<Operation>>& operations() const { return operations_; }
  size_t index_of(const std::string& operation) const;  // throws where there is none
  Linear& linear(size_t operation) const;               // throws where it is not linear
  const Plan& plan() const { return plan_; }
  bool needs_batch() const { return plan_.needs_batch; }  // whether an operation has statistics of the whole batch

  // Of a batch whose first `samples` columns count; or of several such, in as many tiles each.
  void forward(Workspace& w, const Batch& x, size_t samples, int parts = 1, Pool* pool = nullptr) const;
  // Gradients of a loss for the batch of the last forward(); gradient_out is [tiles][n_out][width], contiguous, and
  // zero for padding. inputs_from < 0: no gradient of the inputs, else that of inputs [inputs_from, n_in).
  void backward(Workspace& w, const Batch& x, const float* gradient_out, bool parameters, int32_t inputs_from,
                Pool* pool = nullptr) const;
  void adam(Workspace& w, const Adam& settings, Pool* pool = nullptr);
  // backward() of the parameters and adam() in one: each layer takes its step while its gradients are in the cache.
  void step(Workspace& w, const Batch& x, const float* gradient_out, const Adam& settings, Pool* pool = nullptr);
  // forward() and step() down the sum over the batch of weight * (output - target)^2, for a network of one output;
  // errors = output - target. targets, weights and errors are [tiles][width]. Returns whether all errors are finite.
  bool regress(Workspace& w, const Batch& x, size_t samples, const float* targets, const float* weights, float* errors,
               const Adam& settings, Pool* pool = nullptr);
  // forward() and step() down the cross-entropy between `targets` and the softmax of the outputs for the first of
  // `parts` batches, the others acting through statistics alone: the sum of -weight * target * ln probability. targets
  // and probability, which is written, are [tiles / parts][n_out][width], weights [tiles / parts][width].
  void classify(Workspace& w, const Batch& x, size_t samples, int parts, const float* targets, const float* weights,
                float* probability, const Adam& settings, Pool* pool = nullptr);
  // The gradient of the last backward for every place of a linear operation, connection or not, [n_out][n_in].
  void dense_gradient(const Workspace& w, const Batch& x, size_t operation, float* out) const;
  void update_statistics(const Workspace& w);  // moves running statistics towards those of the last forward
  void act(const float* x, float* y) const;    // a single sample, with running statistics
  Buffer<float> predict(
      const Batch& x) const;  // the output of forward() with running statistics, [tiles][n_out][width]

  void rewire(size_t operation, const int64_t* dropped, size_t n_dropped, const int64_t* grown, size_t n_grown);
  void count_ages();  // from now on Adam's bias correction goes by the age of each connection and bias
  // The array is learnables()[..] or statistics()[..] of the operation of this name; throws where there is none.
  Learnable& array(size_t operation, const std::string& name) const;
  // Throws where the count is not that of the array.
  void set_values(size_t operation, const std::string& name, const float* values, size_t count);

  int64_t steps() const {
    const auto lock = look();
    return optimiser_.steps;
  }
  void set_steps(int64_t steps) {
    const auto lock = change();
    optimiser_.steps = steps;
  }
  // To be called by whoever has moved what was learnt and is the only one that may now, see change().
  void count_step() {
    ++optimiser_.steps;
    stepped();
  }
  bool followed = false;  // by a TargetUpdate, which orders its weights as it needs them

  bool ages() const {  // whether count_ages() was called
    const auto lock = look();
    return optimiser_.ages;
  }
  uint64_t changes() const {  // so far: what was read between two equal counts is of one moment
    const auto lock = look();
    return changes_;
  }

  // To look at it, or to change it, while others may use it. Who changes it waits at the turnstile until all who look
  // are through, and nobody else comes in meanwhile: threads that predict without a pause would starve one that learns.
  std::shared_lock<std::shared_mutex> look() const {
    const std::lock_guard<std::mutex> turn(turnstile_);
    return std::shared_lock<std::shared_mutex>(mutex_);
  }
  std::unique_lock<std::shared_mutex> change() {
    const std::lock_guard<std::mutex> turn(turnstile_);
    std::unique_lock<std::shared_mutex> lock(mutex_);
    ++changes_;
    return lock;
  }

 private:
  using After = std::function<void(size_t operation, Part)>;
  template <class Work>
  void share(size_t multiplications, Threads threads, const Work& work) const;
  size_t multiplications() const;  // of a sample
  void run(Workspace& w, const Batch& x, size_t samples, Threads threads) const;
  void run_tile(Workspace& w, const Batch& x, const Plan::Stage& stage, int tile, Threads threads) const;
  void run_back(Workspace& w, const Batch& x, bool parameters, int32_t inputs_from, Threads threads,
                const After& after) const;
  void input_gradient(Workspace& w, const Batch& x, size_t operation, int tile, int32_t inputs_from,
                      Threads threads) const;
  static size_t batch_work(const Workspace& w, const Operation& operation);
  void batch_gradient(Workspace& w, const Batch& x, size_t operation, int32_t inputs_from, bool parameters,
                      Threads threads) const;
  void parameter_gradient(Workspace& w, const Batch& x, size_t operation, Part part) const;
  void descend(Workspace& w, const Batch& x, const Adam& settings, Threads threads);
  void stepped();  // tells all operations that the optimiser has moved them
  bool wanted(size_t value, int32_t inputs_from) const;
  Batch whole_value(const Workspace& w, const Batch& x, int32_t value) const;
  Backward backward_tile(const Workspace& w, const Batch& x, size_t operation, int tile, const float** in) const;

  int32_t n_in_;
  bool trainable_;
  std::vector<std::unique_ptr<Operation>> operations_;
  Plan plan_;
  AdamSteps optimiser_;
  mutable std::shared_mutex mutex_;
  mutable std::mutex turnstile_;
  uint64_t changes_ = 0;
};

// Calls work(Part) once per thread; for what takes only microseconds, once.
template <class Work>
void Network::share(size_t multiplications, Threads threads, const Work& work) const {
  constexpr size_t kWorthSharing = 2048 * 112;  // a hand-over takes a microsecond or two
  if (threads.count == 1 || multiplications < kWorthSharing) {
    work(Part{});
    return;
  }
  threads.pool->run(threads.count, [&](int i) { work(Part{i, threads.count}); });
}

}  // namespace rewirl
