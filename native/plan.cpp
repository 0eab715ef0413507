#include "plan.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace rewirl {
namespace {

// Lends slots to values: the last one that came back of those that fit, or else another. `alike` slots fit values of
// their size only; others grow.
struct Lender {
  Lender(const std::vector<int32_t>& of_values, bool alike) : features(of_values), alike(alike) {
    slots.of.assign(features.size(), -1);
  }

  void take(int32_t value) {
    const int32_t size = features[static_cast<size_t>(value)];
    int32_t& slot = slots.of[static_cast<size_t>(value)];
    for (size_t k = free.size(); k-- > 0;) {
      int32_t& room = slots.features[static_cast<size_t>(free[k])];
      if (alike && room != size) continue;
      room = std::max(room, size);
      slot = free[k];
      free.erase(free.begin() + static_cast<ptrdiff_t>(k));
      return;
    }
    slot = static_cast<int32_t>(slots.features.size());
    slots.features.push_back(size);
  }

  void give_back(int32_t value) { free.push_back(slots.of[static_cast<size_t>(value)]); }

  const std::vector<int32_t>& features;
  const bool alike;
  Plan::Slots slots;
  std::vector<int32_t> free;
};

}  // namespace

Plan::Plan(int32_t n_in, const std::vector<std::unique_ptr<Operation>>& operations) {
  const size_t count = operations.size();
  if (count == 0) throw std::invalid_argument("a network needs an operation");
  std::vector<int> readers(count + 1, 0);
  std::set<std::string> names;
  features = {n_in};
  learns = {false};
  of_input = {true};
  for (size_t i = 0; i < count; ++i) {
    const Operation& operation = *operations[i];
    if (operation.name.empty() || !names.insert(operation.name).second)
      throw std::invalid_argument("operations need different names, got '" + operation.name + "' twice");
    bool learnt = !operation.learnables().empty(), from_input = false;
    for (const int32_t v : operation.inputs) {
      if (v < 0 || static_cast<size_t>(v) > i)
        throw std::invalid_argument("the operation " + operation.name + " reads a value that is not there yet");
      ++readers[static_cast<size_t>(v)];
      learnt = learnt || learns[static_cast<size_t>(v)];
      from_input = from_input || of_input[static_cast<size_t>(v)];
    }
    features.push_back(operation.features);
    learns.push_back(learnt);
    of_input.push_back(from_input);
  }
  for (size_t v = 0; v < count; ++v)
    if (readers[v] == 0)
      throw std::invalid_argument("nothing reads " +
                                  (v == 0 ? "the input" : "what " + operations[v - 1]->name + " makes"));
  output = static_cast<int32_t>(count);

  // A ReLU that alone reads what weights or a norm make is done by them in their last step.
  std::vector<int32_t> stands_for(count + 1);
  for (size_t v = 0; v <= count; ++v) stands_for[v] = static_cast<int32_t>(v);
  stored.assign(count + 1, true);
  steps.resize(count);
  for (size_t i = 0; i < count; ++i) {
    Step& step = steps[i];
    step.out = static_cast<int32_t>(i) + 1;
    const Operation& operation = *operations[i];
    if (operation.epilogue() == Epilogue::none || operation.inputs.size() != 1 || operation.inputs[0] == 0) continue;
    const size_t before = static_cast<size_t>(operation.inputs[0]);
    if (!operations[before - 1]->finishes() || readers[before] != 1) continue;
    step.fused = true;
    steps[before - 1].epilogue = operation.epilogue();
    stands_for[before] = step.out;
    stored[before] = false;
  }
  for (size_t i = 0; i < count; ++i) {
    Step& step = steps[i];
    step.out = stands_for[static_cast<size_t>(step.out)];
    for (const int32_t v : operations[i]->inputs) step.in.push_back(stands_for[static_cast<size_t>(v)]);
  }

  // The last reader of a value is the first to write its gradient.
  std::vector<bool> written(count + 1, false);
  for (size_t i = count; i-- > 0;) {
    Step& step = steps[i];
    step.accumulate = std::make_unique<bool[]>(step.in.size());
    if (step.fused) continue;
    for (size_t j = 0; j < step.in.size(); ++j) {
      const size_t v = static_cast<size_t>(step.in[j]);
      step.accumulate[j] = written[v];
      written[v] = true;
      const bool alone = readers[v] == 1 && operations[i]->weights();
      if (v == 0)
        input_is_direct = alone;
      else if (alone && steps[v - 1].fused)
        step.gated = steps[v - 1].gate_done = true;
    }
  }

  share_gradients(operations, readers);
  passing = shared_values(false);
  whole_values = shared_values(true);

  whole = {{0, count, false}};
  for (size_t i = 0; i < count; ++i) {
    const bool batch = operations[i]->batch_statistics() > 0;
    needs_batch = needs_batch || batch;
    if (batch || stages.empty() || stages.back().whole_batch)
      stages.push_back({i, i + 1, batch});
    else
      stages.back().end = i + 1;
  }
}

void Plan::share_gradients(const std::vector<std::unique_ptr<Operation>>& operations, const std::vector<int>& readers) {
  for (const bool batch : {false, true}) {
    Lender lender(features, false);
    lender.take(output);
    for (size_t i = steps.size(); i-- > 0;) {
      if (steps[i].fused) continue;
      bool in_place = false;
      for (const int32_t value : steps[i].in) {
        const size_t v = static_cast<size_t>(value);
        if (value == 0 || lender.slots.of[v] >= 0) continue;
        in_place = batch && operations[i]->in_place() && readers[v] == 1 && features[v] == operations[i]->features;
        if (in_place)
          lender.slots.of[v] = lender.slots.of[static_cast<size_t>(steps[i].out)];
        else
          lender.take(value);
      }
      if (!in_place) lender.give_back(steps[i].out);
    }
    gradients[batch] = std::move(lender.slots);
  }
}

Plan::Slots Plan::shared_values(bool alike) const {
  std::vector<size_t> last(features.size(), 0);
  for (size_t i = 0; i < steps.size(); ++i)
    for (const int32_t v : steps[i].in) last[static_cast<size_t>(v)] = i;
  Lender lender(features, alike);
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].fused) continue;
    if (steps[i].out != output) lender.take(steps[i].out);
    const std::set<int32_t> read(steps[i].in.begin(), steps[i].in.end());
    for (const int32_t v : read)
      if (v != 0 && last[static_cast<size_t>(v)] == i) lender.give_back(v);
  }
  return std::move(lender.slots);
}

size_t Plan::Stage::multiplications(const std::vector<std::unique_ptr<Operation>>& operations) const {
  size_t sum = 0;
  for (size_t i = begin; i < end; ++i) sum += operations[i]->multiplications();
  return sum;
}

}  // namespace rewirl
