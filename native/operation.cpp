#include "operation.hpp"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "kernels/cpu.hpp"

namespace rewirl {

double OperationSpec::number(const std::string& setting) const {
  const auto found = numbers.find(setting);
  if (found == numbers.end()) throw std::invalid_argument("the operation " + name + " needs the setting " + setting);
  if (!std::isfinite(found->second))
    throw std::invalid_argument("the setting " + setting + " of the operation " + name + " must be finite");
  return found->second;
}

int32_t OperationSpec::count(const std::string& setting) const {
  const double n = number(setting);
  if (!(n >= 1 && n <= 1 << 24) || n != std::floor(n))
    throw std::invalid_argument("the setting " + setting + " of the operation " + name +
                                " must be an integer from 1 to 2^24");
  return static_cast<int32_t>(n);
}

void OperationSpec::require_inputs(size_t wanted) const {
  if (inputs.size() != wanted)
    throw std::invalid_argument("the operation " + name + " reads " + std::to_string(wanted) + " values, got " +
                                std::to_string(inputs.size()));
}

void Operation::stretches(Part part, const std::function<void(size_t, size_t, size_t)>& visit) const {
  if (part.index > 0) return;  // too little to share
  const std::vector<Learnable*> all = learnables();
  for (size_t k = 0; k < all.size(); ++k) visit(k, 0, all[k]->values.size());
}

namespace {

// All that was learnt, target <- tau * online + (1 - tau) * target.
class Interpolation : public TargetStep {
 public:
  Interpolation(Operation& target, const Operation& online) : target_(target), online_(online) {}
  void update(float tau) override {
    move(target_.learnables(), online_.learnables(), tau);
    move(target_.statistics(), online_.statistics(), tau);
    target_.changed();
  }

 private:
  static void move(const std::vector<Learnable*>& target, const std::vector<Learnable*>& online, float tau) {
    for (size_t k = 0; k < target.size(); ++k)
      kernels().interpolate(target[k]->values.size(), target[k]->values.data(), online[k]->values.data(), tau);
  }
  Operation& target_;
  const Operation& online_;
};

}  // namespace

std::unique_ptr<TargetStep> Operation::follow(const Operation& online, bool) {
  if (std::strcmp(kind(), online.kind()) != 0 || features != online.features || inputs != online.inputs)
    throw std::invalid_argument("target and online operations differ");
  const auto sizes = [](const std::vector<Learnable*>& arrays) {
    std::vector<size_t> found;
    for (const Learnable* array : arrays) found.push_back(array->values.size());
    return found;
  };
  if (sizes(learnables()) != sizes(online.learnables()) || sizes(statistics()) != sizes(online.statistics()))
    throw std::invalid_argument("target and online operations have other arrays");
  return std::make_unique<Interpolation>(*this, online);
}

}  // namespace rewirl
