#include "kernels/cpu.hpp"

#include <atomic>
#include <stdexcept>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace rewirl {
namespace {

std::vector<const Kernels*> available() {
  std::vector<const Kernels*> found;
#if defined(REWIRL_X86_KERNELS)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    found.push_back(&kernels_avx512());
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&kernels_avx2());
#endif
  found.push_back(&kernels_portable());
  return found;
}

std::atomic<const Kernels*>& current() {
  static std::atomic<const Kernels*> chosen{available().front()};
  return chosen;
}

}  // namespace

std::vector<std::string> available_instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* k : available()) names.emplace_back(k->name);
  return names;
}

const Kernels& kernels() { return *current().load(std::memory_order_relaxed); }

void use_instruction_set(const std::string& name) {
  std::string all;
  for (const Kernels* k : available()) {
    if (name == k->name) {
      current().store(k);
      return;
    }
    all += (all.empty() ? "" : ", ") + std::string(k->name);
  }
  throw std::invalid_argument("instruction set '" + name + "' is not available here; this machine runs: " + all);
}

#if defined(__x86_64__)
FlushSubnormals::FlushSubnormals() : saved_(_mm_getcsr()) {
  _mm_setcsr(static_cast<unsigned>(saved_) | 0x8040u);  // FTZ | DAZ
}
FlushSubnormals::~FlushSubnormals() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(__aarch64__)
FlushSubnormals::FlushSubnormals() {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" ::"r"(saved_ | (1ul << 24)));
}
FlushSubnormals::~FlushSubnormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }
#else
FlushSubnormals::FlushSubnormals() = default;
FlushSubnormals::~FlushSubnormals() = default;
#endif

}  // namespace rewirl
