#include "native_test.hpp"

namespace rewirl {

int passed = 0, failed = 0;
std::mt19937 rng(1);

void check(bool condition, const std::string& what) {
  ++(condition ? passed : failed);
  if (!condition) std::printf("FAILED on %s: %s\n", kernels().name, what.c_str());
}

float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(rng); }

std::vector<float> random_floats(size_t n) {
  std::vector<float> x(n);
  for (float& value : x) value = uniform();
  return x;
}

std::vector<int64_t> random_places(int n_out, int n_in, double density) {
  std::vector<int64_t> places;
  const int empty_row = n_out > 2 ? n_out / 2 : -1, full_row = n_out > 2 ? n_out - 1 : -1;
  for (int64_t p = 0; p < int64_t{n_out} * n_in; ++p) {
    const bool exists = density >= 1.0 || (density > 0.0 && (p / n_in == full_row || uniform(0, 1) < density));
    if (exists && (density >= 1.0 || p / n_in != empty_row)) places.push_back(p);
  }
  std::shuffle(places.begin(), places.end(), rng);
  return places;
}

Layer random_layer(int n_in, int n_out, double density, bool trainable) {  // density < 0: dense
  const std::vector<int64_t> places = random_places(n_out, n_in, density < 0 ? 1.0 : density);
  const std::vector<float> values = random_floats(places.size());
  static const int64_t none = 0;
  Layer layer(n_in, n_out,
              density < 0      ? nullptr
              : places.empty() ? &none
                               : places.data(),
              places.size(), values.data(), trainable);
  for (float& b : layer.bias) b = uniform();
  return layer;
}

std::vector<float> matrix(const Layer& layer) {
  std::vector<float> w(static_cast<size_t>(layer.n_in()) * layer.n_out());
  const std::vector<int64_t> places = layer.places();
  for (size_t k = 0; k < places.size(); ++k) w[static_cast<size_t>(places[k])] = layer.values[k];
  return w;
}

void rewire_a_tenth(Mlp& mlp, size_t l) {
  Layer& layer = mlp.layers[l];
  std::vector<int64_t> dropped(layer.connections() / 10), grown, all = layer.places();
  for (size_t i = 0; i < dropped.size(); ++i) dropped[i] = static_cast<int64_t>(i);
  const std::set<int64_t> occupied(all.begin(), all.end());
  while (grown.size() < dropped.size()) {
    const int64_t place = static_cast<int64_t>(rng() % (static_cast<uint64_t>(layer.n_in()) * layer.n_out()));
    if (!occupied.count(place) && std::find(grown.begin(), grown.end(), place) == grown.end()) grown.push_back(place);
  }
  layer.rewire(dropped.data(), dropped.size(), grown.data(), grown.size(), static_cast<uint32_t>(mlp.steps));
}

Mlp random_mlp(int n_in, bool trainable) {
  std::vector<Layer> layers;
  layers.push_back(random_layer(n_in, 70, 0.4, trainable));
  layers.push_back(random_layer(70, 33, 0.1, trainable));
  layers.push_back(random_layer(33, 3, -1, trainable));
  return Mlp(std::move(layers));
}

Mlp copy_of(const Mlp& network, bool trainable) {
  std::vector<Layer> layers;
  for (const Layer& from : network.layers) {
    const std::vector<int64_t> places = from.places();
    layers.emplace_back(from.n_in(), from.n_out(), from.dense() ? nullptr : places.data(), places.size(),
                        from.values.data(), trainable);
    std::copy(from.bias.begin(), from.bias.end(), layers.back().bias.begin());
  }
  return Mlp(std::move(layers));
}

}  // namespace rewirl
