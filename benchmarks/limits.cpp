// What share of the processor's peak rate of multiply-adds do the kernels reach? See limits.py, which compiles this for
// the machine it runs on, and README.md.
//
//   limits ROUNDS WIDTH DENSITY VECTORS    a square layer, its width a power of two, on one tile of 16 * VECTORS
//   samples;
//                                          JSON on the standard output
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
constexpr int kLayers = 6;
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

Places at_random(int64_t width, double density, std::mt19937& random) {
  Places places(static_cast<size_t>(width * width));
  std::iota(places.begin(), places.end(), int64_t{0});
  std::shuffle(places.begin(), places.end(), random);
  places.resize(std::max<size_t>(1, static_cast<size_t>(std::lround(density * static_cast<double>(places.size())))));
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

struct Contestant {
  std::string name;
  std::vector<std::shared_ptr<Weights>> layers;
  std::vector<std::vector<double>> shares[3];  // by operation, round and measurement that counts
};

Contestant contestant(const char* name, int32_t width, const std::vector<Places>& topologies) {
  Contestant made{name, {}, {}};
  for (const Places& places : topologies) {
    const bool dense = places.empty();
    const std::vector<float> values(dense ? static_cast<size_t>(width) * static_cast<size_t>(width) : places.size(),
                                    1e-3f);
    made.layers.push_back(make_weights(dense ? "dense" : "unstructured",
                                       {width, width, places.data(), values.size(), values.data(), true}));
  }
  return made;
}

void print(const std::vector<Contestant>& contestants) {
  const char* operations[] = {"forward", "input gradient", "weight gradient"};
  std::printf("{\"kernels\": \"%s\", \"contestants\": [", kernels().name);
  for (const Contestant& c : contestants) {
    std::printf("%s\n {\"name\": \"%s\", \"connections\": %zu, \"shares\": {", &c == contestants.data() ? "" : ",",
                c.name.c_str(), c.layers[0]->connections());
    for (int o = 0; o < 3; ++o) {
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
  if (count != 5) {
    std::fprintf(stderr, "limits ROUNDS WIDTH DENSITY VECTORS\n");
    return 2;
  }
  const int rounds = std::atoi(arguments[1]), width = std::atoi(arguments[2]), vectors = std::atoi(arguments[4]);
  const double density = std::atof(arguments[3]);
  if (rounds < 1 || width < 1 || (width & (width - 1)) != 0 || !(density > 0.0 && density < 1.0) || vectors < 1 ||
      vectors > kMaxVectors) {
    std::fprintf(stderr,
                 "limits: ROUNDS at least 1, WIDTH a power of two, DENSITY between 0 and 1, VECTORS from 1 to %d\n",
                 kMaxVectors);
    return 2;
  }
  use_instruction_set(kInstructionSet);
  const FlushSubnormals flush;
  std::mt19937 random(1);
  std::vector<Places> dense(kLayers), any, even, band;
  for (int i = 0; i < kLayers; ++i) {
    any.push_back(at_random(width, density, random));
    even.push_back(evenly(width, density, false, random));
    band.push_back(evenly(width, density, true, random));
  }
  std::vector<Contestant> contestants{contestant("dense", width, dense), contestant("random", width, any),
                                      contestant("even", width, even), contestant("banded", width, band)};

  const size_t samples = static_cast<size_t>(kLane) * static_cast<size_t>(vectors),
               n = static_cast<size_t>(width) * samples;
  Buffer<float> x(n), y(n), dx(n), scratch(n + static_cast<size_t>(kPanel) * samples);
  const size_t square = static_cast<size_t>(width) * static_cast<size_t>(width);
  Buffer<float> gradient(square), bias(static_cast<size_t>(width));
  for (size_t i = 0; i < n; ++i) x[i] = 1e-3f * static_cast<float>(i % 97);

  for (int round = 0; round < rounds; ++round)
    for (Contestant& c : contestants) {
      for (auto& shares : c.shares) shares.emplace_back();
      for (const auto& layer : c.layers)
        for (int o = 0; o < 3;
             ++o) {  // one after the other, as in training: what one has used may still be near for the next
          const double before = peak(), begin = now();
          if (o == 0) layer->forward(x.data(), y.data(), vectors, bias.data(), Epilogue::relu, {});
          if (o == 1) layer->input_gradient(y.data(), dx.data(), vectors, 0, x.data(), {});
          if (o == 2) layer->weight_gradient(y.data(), x.data(), gradient.data(), vectors, true, scratch.data(), {});
          const double seconds = now() - begin, after = peak();
          const double possible = (before + after) / 2 * seconds;
          if (std::fabs(after / before - 1.0) < kSteady)
            c.shares[o].back().push_back(static_cast<double>(layer->connections() * samples) / possible);
        }
    }
  print(contestants);
  return 0;
}
