// Which kernels this processor runs, and its floating-point mode.
#pragma once
#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace rewirl {

// Counts the times that kernels began to compute other last bits of what they had computed before. Checkpoints have it.
constexpr int kKernelGeneration = 1;

std::vector<std::string> available_instruction_sets();  // best first
const Kernels& kernels();                               // the ones in use
void use_instruction_set(const std::string& name);      // throws std::invalid_argument naming the available ones

// Subnormal numbers count as zero inside native calls: Adam's moments of dead units would otherwise crawl.
class FlushSubnormals {
 public:
  FlushSubnormals();
  ~FlushSubnormals();
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
  unsigned long saved_ = 0;
};

}  // namespace rewirl
