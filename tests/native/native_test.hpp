// What the native tests have in common: checks, random numbers and random networks.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cpu.hpp"
#include "mlp.hpp"
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

std::vector<int64_t> random_places(int n_out, int n_in, double density);
Layer random_layer(int n_in, int n_out, double density, bool trainable = true);  // density < 0: dense
std::vector<float> matrix(const Layer& layer);
// Drops the first tenth of the connections and grows as many elsewhere.
void rewire_a_tenth(Mlp& mlp, size_t l);
Mlp random_mlp(int n_in, bool trainable = true);
// A network with the connections and values of this one, in its order if it is not trainable, else sorted.
Mlp copy_of(const Mlp& network, bool trainable);

// A file for each subject.
void test_weights();
void test_elementwise();
void test_index();
void test_networks();
void test_targets();
void test_pool();
void test_threads();

}  // namespace rewirl
