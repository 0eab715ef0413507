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

std::vector<int64_t> random_places(int n_out, int n_in, double density, int height) {
  if (height > 1) {  // whole blocks where a matrix of one row for each group has a connection
    std::vector<int64_t> places;
    for (const int64_t block : random_places((n_out + height - 1) / height, n_in, density))
      for (int64_t r = block / n_in * height; r < std::min<int64_t>(n_out, (block / n_in + 1) * height); ++r)
        places.push_back(r * n_in + block % n_in);
    std::shuffle(places.begin(), places.end(), rng);
    return places;
  }
  std::vector<int64_t> places;
  const int empty_row = n_out > 2 ? n_out / 2 : -1, full_row = n_out > 2 ? n_out - 1 : -1;
  for (int64_t p = 0; p < int64_t{n_out} * n_in; ++p) {
    const bool exists = density >= 1.0 || (density > 0.0 && (p / n_in == full_row || uniform(0, 1) < density));
    if (exists && (density >= 1.0 || p / n_in != empty_row)) places.push_back(p);
  }
  std::shuffle(places.begin(), places.end(), rng);
  return places;
}

LayerData random_layer(int n_in, int n_out, double density, int height) {
  LayerData layer{
      n_in, n_out, density < 0, random_places(n_out, n_in, density < 0 ? 1.0 : density, density < 0 ? 1 : height),
      {},   {},    height};
  layer.values = random_floats(layer.places.size());
  layer.bias = random_floats(static_cast<size_t>(n_out));
  return layer;
}

std::unique_ptr<Weights> weights_of(const LayerData& layer, bool trainable) {
  return make_weights(layer.format(), {layer.n_in, layer.n_out, layer.places.data(), layer.values.size(),
                                       layer.values.data(), trainable, nullptr, layer.height});
}

std::vector<float> matrix(const Weights& weights) {
  std::vector<float> w(static_cast<size_t>(weights.n_in()) * static_cast<size_t>(weights.n_out()));
  const std::vector<int64_t> places = weights.places();
  for (size_t k = 0; k < places.size(); ++k) w[static_cast<size_t>(places[k])] = weights.values[k];
  return w;
}

std::unique_ptr<Network> make_mlp(const std::vector<LayerData>& layers, bool trainable) {
  std::vector<OperationSpec> specs;
  for (size_t l = 0; l < layers.size(); ++l) {
    const LayerData& layer = layers[l];
    OperationSpec linear;
    linear.kind = "linear";
    linear.name = "layer" + std::to_string(l);
    linear.inputs = {static_cast<int32_t>(specs.size())};
    linear.numbers = {{"n_out", layer.n_out}, {"bias", 1}, {"height", layer.height}};
    linear.format = layer.format();
    linear.places = layer.places.data();
    linear.connections = layer.values.size();
    linear.values = layer.values.data();
    specs.push_back(linear);
    if (l + 1 == layers.size()) break;
    OperationSpec relu;
    relu.kind = "relu";
    relu.name = "relu" + std::to_string(l);
    relu.inputs = {static_cast<int32_t>(specs.size())};
    specs.push_back(relu);
  }
  auto network = std::make_unique<Network>(layers[0].n_in, specs, trainable);
  for (size_t l = 0; l < layers.size(); ++l)
    network->set_values(2 * l, "bias", layers[l].bias.data(), layers[l].bias.size());
  return network;
}

std::unique_ptr<Network> random_mlp(int n_in, bool trainable, int height) {
  return make_mlp({random_layer(n_in, 70, 0.4, height), random_layer(70, 33, 0.1, height), random_layer(33, 3, -1)},
                  trainable);
}

Linear& layer_of(const Network& network, size_t l) { return network.linear(2 * l); }
const Buffer<float>& bias_of(const Network& network, size_t l) { return network.array(2 * l, "bias").values; }

void rewire_a_tenth(Network& network, size_t l) {
  const Weights& weights = *layer_of(network, l).weights();
  const int64_t n_in = weights.n_in(), height = weights.height(), groups = (weights.n_out() + height - 1) / height;
  const std::vector<int64_t> all = weights.places();
  std::set<int64_t> blocks, gone;  // by group and input
  const auto block_of = [&](int64_t place) { return place / n_in / height * n_in + place % n_in; };
  for (const int64_t place : all) blocks.insert(block_of(place));
  while (gone.size() < blocks.size() / 10) gone.insert(block_of(all[gone.size() * static_cast<size_t>(height)]));
  std::vector<int64_t> dropped, grown;
  for (size_t k = 0; k < all.size(); ++k)
    if (gone.count(block_of(all[k]))) dropped.push_back(static_cast<int64_t>(k));
  for (size_t i = 0; i < gone.size();) {
    const int64_t block = static_cast<int64_t>(rng() % static_cast<uint64_t>(groups * n_in));
    if (!blocks.insert(block).second) continue;
    for (int64_t r = block / n_in * height; r < std::min<int64_t>(weights.n_out(), (block / n_in + 1) * height); ++r)
      grown.push_back(r * n_in + block % n_in);
    ++i;
  }
  network.rewire(2 * l, dropped.data(), dropped.size(), grown.data(), grown.size());
}

std::unique_ptr<Network> copy_of(const Network& network, bool trainable) {
  std::vector<LayerData> layers;
  for (size_t l = 0; 2 * l < network.operations().size(); ++l) {
    const Weights& from = *layer_of(network, l).weights();
    const Buffer<float>& bias = bias_of(network, l);
    layers.push_back({from.n_in(), from.n_out(), from.dense(), from.places(),
                      std::vector<float>(from.values.begin(), from.values.end()),
                      std::vector<float>(bias.begin(), bias.end()), from.height()});
  }
  return make_mlp(layers, trainable);
}

}  // namespace rewirl
