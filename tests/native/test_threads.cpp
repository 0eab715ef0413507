// Networks, layers and pools in several threads.
#include "native_test.hpp"

namespace rewirl {

namespace {

void test_networks_in_threads() {
  const auto train = [](int threads) {
    rng.seed(7);
    std::vector<Mlp> networks, targets;
    for (int i = 0; i < 3; ++i) networks.push_back(random_mlp(20));
    for (const Mlp& network : networks) targets.push_back(copy_of(network, false));
    std::vector<TargetUpdate> updates;
    for (size_t i = 0; i < networks.size(); ++i) updates.emplace_back(targets[i], networks[i], std::vector<bool>{});
    const std::vector<float> x = random_floats(20 * 32), pull = random_floats(3 * 32);
    const Batch batch{x.data(), 20 * 32, 1, 2};
    Pool pool(threads);
    constexpr Adam kAdam{1e-2f, 0.9f, 0.999f, 1e-8f, 1e-4f};
    for (int step = 0; step < 6; ++step) {
      pool.run(3, [&](int i) {
        Mlp& network = networks[static_cast<size_t>(i)];
        network.forward(batch);
        if (step % 2 == 0) {
          network.backward(batch, pull.data(), true, 0);
          network.adam(kAdam);
        } else {
          network.backward(batch, pull.data(), true, -1, nullptr, &kAdam);
        }
      });
      pool.run(
          3, [&](int i) { targets[static_cast<size_t>(i)].forward(batch); });  // whose threads share memory in passing
      if (step == 3)
        for (Mlp& network : networks) rewire_a_tenth(network, 0);
      pool.run(3, [&](int i) { updates[static_cast<size_t>(i)].update(0.1f); });
    }
    std::vector<float> result;
    for (const std::vector<Mlp>& group : {networks, targets})
      for (const Mlp& network : group)
        for (const Layer& layer : network.layers) result.insert(result.end(), layer.values.begin(), layer.values.end());
    return result;
  };
  const std::vector<float> alone = train(1);
  check(train(2) == alone && train(3) == alone, "networks in threads");
}

// Networks of one output learn while pools come and go, as agents do in one process.
void test_pools_that_come_and_go() {
  const auto train = [](int threads) {
    rng.seed(9);
    std::vector<Mlp> critics;
    for (int i = 0; i < 2; ++i) {
      std::vector<Layer> layers;
      layers.push_back(random_layer(20, 40, 0.5));
      layers.push_back(random_layer(40, 1, -1));
      critics.emplace_back(std::move(layers));
    }
    const std::vector<float> x = random_floats(20 * 32), targets = random_floats(32), weights(32, 1.0f / 32);
    const Batch batch{x.data(), 20 * 32, 1, 2};
    std::vector<std::vector<float>> errors(2, std::vector<float>(32));
    for (int step = 0; step < 20; ++step) {
      Pool pool(threads);
      pool.use(step % threads + 1);
      pool.run(2, [&](int i) {
        const size_t n = static_cast<size_t>(i);
        critics[n].regress(batch, targets.data(), weights.data(), errors[n].data(), {1e-2f, 0.9f, 0.999f, 1e-8f, 0.0f});
      });
      if (step % 3 == 0) pool.close();
    }
    return errors;
  };
  check(train(2) == train(1) && train(3) == train(1), "pools that come and go");
}

void test_layers_in_threads() {
  const auto compute = [](int threads) {
    rng.seed(8);
    std::vector<Layer> layers;
    layers.push_back(random_layer(90, 130, 0.5));
    layers.push_back(random_layer(130, 67, -1));
    layers.push_back(random_layer(67, 109, 0.8));
    layers.push_back(random_layer(109, 3, -1));
    Mlp mlp(std::move(layers));
    const size_t width = kLane * kMaxVectors;
    const std::vector<float> x = random_floats(2 * 90 * width), pull = random_floats(2 * 3 * width);
    const Batch batch{x.data(), static_cast<ptrdiff_t>(90 * width), 2, kMaxVectors};
    Pool pool(threads);
    Pool* shared = threads > 1 ? &pool : nullptr;
    mlp.count_ages();
    for (int step = 0; step < 2; ++step) {
      constexpr Adam kAdam{1e-3f, 0.9f, 0.999f, 1e-8f, 1e-4f};
      mlp.forward(batch, shared);
      mlp.backward(batch, pull.data(), true, -1, shared, &kAdam);  // layer by layer
      mlp.adam(kAdam, shared);
      rewire_a_tenth(mlp, 0);
    }
    mlp.forward(batch, shared);
    mlp.backward(batch, pull.data(), true, 11, shared);
    std::vector<float> result(mlp.output().begin(), mlp.output().end());
    result.insert(result.end(), mlp.input_gradient.begin(), mlp.input_gradient.end());
    for (const Layer& layer : mlp.layers) {
      result.insert(result.end(), layer.gradient.begin(), layer.gradient.end());
      result.insert(result.end(), layer.bias_gradient.begin(), layer.bias_gradient.end());
    }
    return result;
  };
  const std::vector<float> alone = compute(1);
  for (const int threads : {2, 3, 7})
    check(compute(threads) == alone, std::to_string(threads) + " threads in one layer");
}

}  // namespace

void test_threads() {
  test_networks_in_threads();
  test_layers_in_threads();
  test_pools_that_come_and_go();
}

}  // namespace rewirl
