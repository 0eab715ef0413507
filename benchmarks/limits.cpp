// What share of the processor's peak rate of multiply-adds do the kernels reach? See limits.py, which compiles this for
// the machine it runs on, and README.md.
//
//   limits ROUNDS WIDTH DENSITY TILES VECTORS CANDIDATE ...
//
// A square layer, its width a power of two, on TILES tiles of 16 * VECTORS samples; JSON on the standard output.
// Candidates are dense, random, even, banded, and HEIGHTx1: blocks of so many outputs that share an input.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define REWIRL_AVX512
constexpr const char* kInstructionSet = "avx512";
#elif defined(__AVX2__) && defined(__FMA__)
#define REWIRL_AVX2
constexpr const char* kInstructionSet = "avx2";
#else
constexpr const char* kInstructionSet = "portable";
#endif
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "index.hpp"
#include "kernels/cpu.hpp"
#include "kernels/vec.hpp"
#include "weights.hpp"

using namespace rewirl;

namespace {

// Layers take turns, each with a topology of its own, as in training: a processor that sees one over and over learns by
// heart where its rows end, and keeps its indices in the nearest cache.
int layers_of(int width) { return width > 1024 ? 2 : 6; }
constexpr double kSteady =
    0.05;  // by how much the peaks before and after a measurement may differ, else it does not count

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

volatile float used;  // what nobody used would not be computed

// The peak: multiply-adds of single numbers a second when nothing is loaded or stored: twelve sums in registers, none
// waits for another.
double peak() {
  constexpr int kSums = 12, kTimes = 2000;
  const Vec a = set1(0.5f), b = set1(0.25f);
  Vec sums[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sums[i] = set1(0.0f);
  const double begin = now();
  for (int k = 0; k < kTimes; ++k)
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) {
      sums[i] = fma(a, b, sums[i]);
      keep(sums[i]);
    }
  const double seconds = now() - begin;
  float total[kWidth];
#pragma GCC unroll 12
  for (int i = 1; i < kSums; ++i) sums[0] = sums[0] + sums[i];
  store(total, sums[0]);
  used = total[0];
  return static_cast<double>(kSums) * kTimes * kWidth / seconds;
}

using Places = std::vector<int64_t>;

// Blocks of so many outputs that share an input, anywhere; of height 1 single connections.
Places at_random(int64_t width, int64_t height, double density, std::mt19937& random) {
  Places blocks(static_cast<size_t>(width / height * width));
  std::iota(blocks.begin(), blocks.end(), int64_t{0});
  std::shuffle(blocks.begin(), blocks.end(), random);
  blocks.resize(std::max<size_t>(1, static_cast<size_t>(std::lround(density * static_cast<double>(blocks.size())))));
  Places places;
  for (const int64_t block : blocks)
    for (int64_t row = 0; row < height; ++row) places.push_back((block / width * height + row) * width + block % width);
  return places;
}

// As many connections for every output and every input of every block. Banded, the next output has the same inputs but
// one; else they are anywhere in the block.
Places evenly(int64_t width, double density, bool banded, std::mt19937& random) {
  const auto wanted = static_cast<int64_t>(std::lround(density * static_cast<double>(width * width)));
  const int64_t block = std::min<int64_t>(blocking(width, width, wanted).block, width);
  const auto each = std::max<size_t>(1, static_cast<size_t>(std::lround(density * static_cast<double>(block))));
  std::vector<int64_t> outputs(static_cast<size_t>(block)), inputs = outputs, shifts = outputs;
  for (auto* order : {&outputs, &inputs, &shifts}) std::iota(order->begin(), order->end(), int64_t{0});
  Places places;
  for (int64_t row = 0; row + block <= width; row += block)
    for (int64_t column = 0; column + block <= width; column += block) {
      if (!banded)
        for (auto* order : {&outputs, &inputs, &shifts}) std::shuffle(order->begin(), order->end(), random);
      for (int64_t i = 0; i < block; ++i)
        for (size_t s = 0; s < each; ++s)
          places.push_back((row + outputs[static_cast<size_t>(i)]) * width + column +
                           inputs[static_cast<size_t>((i + shifts[s]) % block)]);
    }
  return places;
}

struct Candidate {
  std::string name;
  std::vector<std::shared_ptr<Weights>> layers;
  std::vector<std::vector<double>> shares[4];  // by operation, round and measurement that counts
};

// HEIGHT of the candidate HEIGHTx1; 0 of the others.
int height_of(const std::string& name) {
  return name.size() == 3 && name.substr(1) == "x1" && name[0] >= '2' && name[0] <= '0' + kMaxHeight ? name[0] - '0'
                                                                                                     : 0;
}

Candidate candidate(const std::string& name, int32_t width, double density) {
  Candidate made{name, {}, {}};
  std::mt19937 random(1);
  const int height = height_of(name);
  for (int i = 0; i < layers_of(width); ++i) {
    Places places;
    if (name == "even" || name == "banded")
      places = evenly(width, density, name == "banded", random);
    else if (name != "dense")
      places = at_random(width, std::max(height, 1), density, random);
    const bool dense = places.empty();
    const std::vector<float> values(dense ? static_cast<size_t>(width) * static_cast<size_t>(width) : places.size(),
                                    1e-3f);
    made.layers.push_back(
        make_weights(dense        ? "dense"
                     : height > 0 ? "blocks"
                                  : "unstructured",
                     {width, width, places.data(), values.size(), values.data(), true, nullptr, std::max(height, 1)}));
  }
  return made;
}

void print(const std::vector<Candidate>& candidates) {
  const char* operations[] = {"forward", "input gradient", "weight gradient", "all three"};
  std::printf("{\"kernels\": \"%s\", \"contestants\": [", kernels().name);
  for (const Candidate& c : candidates) {
    std::printf("%s\n {\"name\": \"%s\", \"connections\": %zu, \"shares\": {", &c == candidates.data() ? "" : ",",
                c.name.c_str(), c.layers[0]->connections());
    for (int o = 0; o < 4; ++o) {
      std::printf("%s\"%s\": [", o ? ", " : "", operations[o]);
      bool first = true;
      for (std::vector<double> round : c.shares[o]) {
        if (round.empty()) continue;
        std::nth_element(round.begin(), round.begin() + static_cast<ptrdiff_t>(round.size() / 2), round.end());
        std::printf("%s%.4f", first ? "" : ", ", round[round.size() / 2]);
        first = false;
      }
      std::printf("]");
    }
    std::printf("}}");
  }
  std::printf("]}\n");
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> given(arguments + 1, arguments + count);
  const auto number = [&](size_t i) { return i < given.size() ? std::atoi(given[i].c_str()) : 0; };
  const int rounds = number(0), width = number(1), tiles = number(3), vectors = number(4);
  const double density = given.size() > 2 ? std::atof(given[2].c_str()) : 0.0;
  std::vector<std::string> names(given.begin() + std::min<ptrdiff_t>(5, static_cast<ptrdiff_t>(given.size())),
                                 given.end());
  for (const std::string& name : names)
    if (name != "dense" && name != "random" && name != "even" && name != "banded" && height_of(name) == 0)
      names.clear();
  if (rounds < 1 || width < 1 || (width & (width - 1)) != 0 || !(density > 0.0 && density <= 1.0) || tiles < 1 ||
      vectors < 1 || vectors > kMaxVectors || names.empty()) {
    std::fprintf(
        stderr,
        "limits ROUNDS WIDTH DENSITY TILES VECTORS CANDIDATE ...\n"
        "WIDTH is a power of two, DENSITY at most 1, VECTORS from 1 to %d; candidates are dense, random, even, "
        "banded and HEIGHTx1, HEIGHT from 2 to %d\n",
        kMaxVectors, kMaxHeight);
    return 2;
  }
  use_instruction_set(kInstructionSet);
  const FlushSubnormals flush;
  std::vector<Candidate> candidates;
  for (const std::string& name : names) candidates.push_back(candidate(name, width, density));

  const size_t tile = static_cast<size_t>(kLane) * static_cast<size_t>(vectors) * static_cast<size_t>(width);
  const size_t samples = static_cast<size_t>(kLane) * static_cast<size_t>(vectors * tiles);
  const size_t numbers = static_cast<size_t>(tiles) * tile;
  Buffer<float> x(numbers), y(numbers), dx(numbers), scratch(tile + static_cast<size_t>(kPanel * kLane * vectors));
  const size_t square = static_cast<size_t>(width) * static_cast<size_t>(width);
  Buffer<float> gradient(square), bias(static_cast<size_t>(width));
  for (size_t i = 0; i < numbers; ++i) x[i] = 1e-3f * static_cast<float>(i % 97);

  const auto compute = [&](const Weights& layer, int operation) {
    for (int t = 0; t < tiles; ++t) {
      const size_t at = static_cast<size_t>(t) * tile;
      if (operation == 0) layer.forward(x.data() + at, y.data() + at, vectors, bias.data(), Epilogue::relu, {});
      if (operation == 1) layer.input_gradient(y.data() + at, dx.data() + at, vectors, 0, x.data() + at, {});
      if (operation == 2 && !layer.whole_batch())
        layer.weight_gradient(y.data() + at, x.data() + at, gradient.data(), vectors, t > 0, scratch.data(), {});
    }
    if (operation == 2 && layer.whole_batch())
      layer.batch_gradient(y.data(), {x.data(), static_cast<ptrdiff_t>(tile), tiles, vectors}, gradient.data(), {});
  };
  for (int round = 0; round < rounds; ++round)
    for (Candidate& c : candidates) {
      for (auto& shares : c.shares) shares.emplace_back();
      for (const auto& layer : c.layers) {
        double inverse = 0.0;  // of the share of all three, whose times add up
        int counted = 0;
        for (int o = 0; o < 3; ++o) {  // one after the other, as in training: what one has used may still be near
          const double before = peak(), begin = now();
          compute(*layer, o);
          const double seconds = now() - begin, after = peak();
          const double possible = (before + after) / 2 * seconds;
          if (std::fabs(after / before - 1.0) >= kSteady) continue;
          c.shares[o].back().push_back(static_cast<double>(layer->connections() * samples) / possible);
          inverse += 1.0 / c.shares[o].back().back() / 3.0;
          ++counted;
        }
        if (counted == 3) c.shares[3].back().push_back(1.0 / inverse);
      }
    }
  print(candidates);
  return 0;
}
