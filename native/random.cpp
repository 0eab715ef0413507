#include "random.hpp"

#include "kernels/cpu.hpp"

namespace rewirl {

// Without bias (Lemire 2019): the high half of a product, unless the low half falls into the part that some results
// would have more of.
uint32_t below(const BitGenerator& bits, uint32_t n) {
  if (n == 1) return 0;  // nothing is drawn
  const uint32_t excess = (0u - n) % n;
  while (true) {
    const uint64_t product = static_cast<uint64_t>(bits.next_uint32(bits.state)) * n;
    if (static_cast<uint32_t>(product) >= excess) return static_cast<uint32_t>(product >> 32);
  }
}

Buffer<float> normals(const BitGenerator& bits, size_t count) {
  const size_t whole = (count + 31) / 32 * 32;
  Buffer<uint32_t> random(whole);
  for (size_t i = 0; i < whole; i += 2) {
    const uint64_t next = bits.next_uint64(bits.state);
    random[i] = static_cast<uint32_t>(next);
    random[i + 1] = static_cast<uint32_t>(next >> 32);
  }
  Buffer<float> out(whole);
  kernels().normals(whole, random.data(), out.data());
  return out;
}

}  // namespace rewirl
