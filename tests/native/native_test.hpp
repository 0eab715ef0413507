// What the native tests have in common: checks, random numbers and random networks.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cpu.hpp"
#include "network.hpp"
#include "pool.hpp"
#include "target.hpp"

namespace rewirl {

extern int passed, failed;
extern std::mt19937 rng;

void check(bool condition, const std::string& what);

template <class Exception, class Call>
void check_throws(Call call, const std::string& what) {
  bool thrown = false;
  try {
    call();
  } catch (const Exception&) {
    thrown = true;
  }
  check(thrown, what + " should throw");
}

float uniform(float low = -1.0f, float high = 1.0f);
std::vector<float> random_floats(size_t n);

// A sum of products together with what float32 may get wrong in it: a unit of the sum of magnitudes for each term.
struct Sum {
  double value = 0.0, magnitude = 0.0;
  int terms = 2;
  void add(double product) {
    value += product;
    magnitude += std::fabs(product);
    ++terms;
  }
  bool near(double found) const { return std::fabs(found - value) <= terms * std::ldexp(magnitude, -24) + 1e-30; }
};

std::vector<int64_t> random_places(int n_out, int n_in, double density, int height = 1);
// What one linear operation is made of; density < 0: dense.
struct LayerData {
  int32_t n_in, n_out;
  bool dense;
  std::vector<int64_t> places;
  std::vector<float> values, bias;
  int32_t height = 1;  // more: in blocks
  const char* format() const { return dense ? "dense" : height > 1 ? "blocks" : "unstructured"; }
};
LayerData random_layer(int n_in, int n_out, double density, int height = 1);
std::unique_ptr<Weights> weights_of(const LayerData& layer, bool trainable = true);
std::vector<float> matrix(const Weights& weights);

// Linear operations with ReLU between them.
std::unique_ptr<Network> make_mlp(const std::vector<LayerData>& layers, bool trainable = true);
std::unique_ptr<Network> random_mlp(int n_in, bool trainable = true, int height = 1);
Linear& layer_of(const Network& network, size_t l);  // the l-th of them
const Buffer<float>& bias_of(const Network& network, size_t l);
// Drops the first tenth of the connections, or of the blocks, and grows as many elsewhere.
void rewire_a_tenth(Network& network, size_t l);
// A network with the connections and values of this one, in its order if it is not trainable, else sorted.
std::unique_ptr<Network> copy_of(const Network& network, bool trainable);

// A file for each subject.
void test_weights();
void test_elementwise();
void test_index();
void test_networks();
void test_targets();
void test_pool();
void test_products();
void test_threads();
void test_units();
void test_predicting_beside_learning(int height);  // of blocks; 1 is none

}  // namespace rewirl
