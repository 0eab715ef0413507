// The Python face of the core. Every argument is checked here; the kernels trust what they get.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "cpu.hpp"
#include "mlp.hpp"
#include "pool.hpp"
#include "vec.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace rewirl {
namespace {

template <class T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Tiles = nb::ndarray<const float, nb::ndim<3>, nb::device::cpu>;
using View = nb::ndarray<nb::numpy, float>;

// The message is put together only if it is needed: checks stand in paths of microseconds.
#define REQUIRE(condition, message) \
  if (!(condition)) throw std::invalid_argument(message)

// Arrays may lie at any byte; the kernels read whole numbers.
template <class Array>
void require_aligned(const Array& array) {
  REQUIRE(reinterpret_cast<uintptr_t>(array.data()) % sizeof(*array.data()) == 0, "an array is not aligned to its numbers");
}

template <class T>
nb::ndarray<nb::numpy, T> view(const Buffer<T>& buffer, std::initializer_list<size_t> shape) {
  using Share = std::shared_ptr<T>;
  nb::capsule owner(new Share(buffer.share()), [](void* p) noexcept { delete static_cast<Share*>(p); });
  return nb::ndarray<nb::numpy, T>(buffer.data(), shape, owner);
}

template <class T>
nb::ndarray<nb::numpy, const T> read_only(const Buffer<T>& buffer) {
  using Share = std::shared_ptr<T>;
  nb::capsule owner(new Share(buffer.share()), [](void* p) noexcept { delete static_cast<Share*>(p); });
  return nb::ndarray<nb::numpy, const T>(buffer.data(), {buffer.size()}, owner);
}

template <class T>
nb::ndarray<nb::numpy, T> copy(const std::vector<T>& data) {
  Buffer<T> buffer(data.size());
  std::copy(data.begin(), data.end(), buffer.begin());
  return view(buffer, {data.size()});
}

std::string shape_text(const Tiles& x) {
  return "[" + std::to_string(x.shape(0)) + ", " + std::to_string(x.shape(1)) + ", " + std::to_string(x.shape(2)) + "]";
}

// Tiles of any number of features, which may be a slice of those of wider tiles.
void require_slice(const Tiles& x) {
  REQUIRE(x.shape(0) > 0 && x.shape(0) <= static_cast<size_t>(std::numeric_limits<int>::max()) && x.shape(2) > 0 &&
              x.shape(2) % kLane == 0 && x.shape(2) <= kLane * kMaxVectors,
          "tiles must be [tiles, features, width] with width a multiple of 16, at most 128; got " + shape_text(x));
  REQUIRE(x.stride(2) == 1 && (x.shape(1) <= 1 || x.stride(1) == static_cast<int64_t>(x.shape(2))),
          "the features of a tile must be contiguous");
  REQUIRE(x.shape(0) == 1 || x.stride(0) >= static_cast<int64_t>(x.shape(1) * x.shape(2)), "tiles must not overlap");
  require_aligned(x);
}

Batch batch_of(const Tiles& x, int32_t features) {
  REQUIRE(x.shape(1) == static_cast<size_t>(features),
          "the input has " + std::to_string(x.shape(1)) + " features, the network takes " + std::to_string(features));
  require_slice(x);
  return {x.data(), static_cast<ptrdiff_t>(x.stride(0)), static_cast<int>(x.shape(0)), static_cast<int>(x.shape(2)) / kLane};
}

void require_tiles(const Tiles& x, int tiles, size_t features, int vectors, const char* what) {
  const size_t width = static_cast<size_t>(kLane) * vectors;
  const bool contiguous = x.stride(2) == 1 && (x.shape(1) == 1 || x.stride(1) == static_cast<int64_t>(width)) &&
                          (x.shape(0) == 1 || x.stride(0) == static_cast<int64_t>(features * width));
  REQUIRE(x.shape(0) == static_cast<size_t>(tiles) && x.shape(1) == features && x.shape(2) == width && contiguous,
          std::string(what) + " must be contiguous [" + std::to_string(tiles) + ", " + std::to_string(features) + ", " +
              std::to_string(width) + "], got " + shape_text(x));
  require_aligned(x);
}

// Threads take a network each, so none may be there twice.
template <class T>
void require_networks(const std::vector<T*>& networks) {
  for (auto network = networks.begin(); network != networks.end(); ++network) {
    REQUIRE(*network != nullptr, "a network is None");
    REQUIRE(std::find(networks.begin(), network, *network) == network, "a network is given twice");
  }
}

// The array that an object is or can be converted to, as the arguments of a function are.
template <class Array>
Array array_of(const nb::handle& object, const char* what) {
  Array array;
  if (!nb::try_cast(object, array) || !array.is_valid()) throw nb::type_error(what);
  require_aligned(array);
  return array;
}

using Rows = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using WritableTiles = nb::ndarray<float, nb::ndim<3>, nb::device::cpu>;

// What NumPy's bit generators put into their capsules: the documented interface for extending numpy.random.
struct BitGenerator {
  void* state;
  uint64_t (*next_uint64)(void*);
  uint32_t (*next_uint32)(void*);
  double (*next_double)(void*);
  uint64_t (*next_raw)(void*);
};

// Uniform in [0, n), without bias (Lemire 2019): the high half of a product, unless the low half falls into the part that
// some results would have more of. The same numbers as Generator.integers(n).
uint32_t below(const BitGenerator& bits, uint32_t n) {
  if (n == 1) return 0;  // nothing is drawn
  const uint32_t excess = (0u - n) % n;
  while (true) {
    const uint64_t product = static_cast<uint64_t>(bits.next_uint32(bits.state)) * n;
    if (static_cast<uint32_t>(product) >= excess) return static_cast<uint32_t>(product >> 32);
  }
}

// Takes the bit generator, not its capsule, which does not keep it alive.
const BitGenerator& bits_of(const nb::handle& bit_generator) {
  static const nb::handle type = nb::object(nb::module_::import_("numpy.random").attr("BitGenerator")).release();
  REQUIRE(nb::isinstance(bit_generator, type), "a NumPy bit generator is needed, such as Generator.bit_generator");
  const nb::capsule capsule = nb::cast<nb::capsule>(bit_generator.attr("capsule"));
  REQUIRE(capsule.name() && std::strcmp(capsule.name(), "BitGenerator") == 0, "the bit generator has no capsule of NumPy's");
  return *static_cast<const BitGenerator*>(capsule.data());
}

// Has room for whole groups of 32.
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

// The output for a single sample, with room for whole vectors.
Buffer<float> act(Mlp& network, const Vector<float>& x) {
  require_aligned(x);
  REQUIRE(x.shape(0) == static_cast<size_t>(network.layers[0].n_in()),
          "the observation has " + std::to_string(x.shape(0)) + " features, the network takes " + std::to_string(network.layers[0].n_in()));
  const FlushSubnormals flush;
  Buffer<float> y((static_cast<size_t>(network.layers.back().n_out()) + kLane - 1) / kLane * kLane);
  network.act(x.data(), y.data());
  return y;
}

void check_gather(const Rows& rows, size_t batch, const std::vector<WritableTiles>& outs) {
  size_t needed = 0;
  require_aligned(rows);
  for (const WritableTiles& out : outs) {
    needed += out.shape(1);
    require_slice(Tiles(out));
    REQUIRE(batch <= out.shape(0) * out.shape(2), "the batch does not fit into the tiles");
    REQUIRE(out.shape(0) == outs[0].shape(0) && out.shape(2) == outs[0].shape(2), "the tiles differ in number or width");
  }
  REQUIRE(needed == rows.shape(1),
          "rows have " + std::to_string(rows.shape(1)) + " columns, the tiles " + std::to_string(needed) + " features");
  REQUIRE(needed > 0, "rows without columns are nothing to gather");
}

// Samples [begin, end) of the batch; begin is a multiple of 4.
void gather_rows(const Rows& rows, const int64_t* index, size_t begin, size_t end, const std::vector<WritableTiles>& outs) {
  const size_t columns = rows.shape(1), width = outs[0].shape(2);
  const auto row_at = [&](size_t i) { return rows.data() + static_cast<size_t>(index[i]) * columns; };
  const auto prefetch = [&](size_t i) {  // the memory is far larger than any cache
    const char* ahead = reinterpret_cast<const char*>(row_at(i));
    for (size_t byte = 0; byte < columns * sizeof(float); byte += 64) __builtin_prefetch(ahead + byte, 0, 2);
    __builtin_prefetch(ahead + columns * sizeof(float) - 1, 0, 2);
  };
  const size_t in_flight = 256 * 1024 / (columns * sizeof(float)) + 1;  // as much as the second-level cache has room for
  for (size_t i = begin; i < std::min(begin + in_flight, end); ++i) prefetch(i);
  std::vector<float*> features(columns);  // of the current tile
  for (size_t i = begin; i < end; i += 4) {
    if (i == begin || i % width == 0) {
      size_t f = 0;
      for (const WritableTiles& out : outs)
        for (size_t k = 0; k < out.shape(1); ++k)
          features[f++] = out.data() + static_cast<ptrdiff_t>(i / width) * out.stride(0) + static_cast<ptrdiff_t>(k * width);
    }
    for (size_t j = i + in_flight; j < std::min(i + in_flight + 4, end); ++j) prefetch(j);
    const size_t lane = i % width, here = std::min<size_t>(4, end - i);
    size_t f = 0;
    if (here == 4) {  // four samples by four features at a time
      const float *a = row_at(i), *b = row_at(i + 1), *c = row_at(i + 2), *d = row_at(i + 3);
      for (; f + 4 <= columns; f += 4) {
        const Square out = transposed(load4(a + f), load4(b + f), load4(c + f), load4(d + f));
        for (size_t k = 0; k < 4; ++k) store4(features[f + k] + lane, out.row[k]);
      }
    }
    for (size_t j = 0; j < here; ++j)
      for (size_t k = f; k < columns; ++k) features[k][lane + j] = row_at(i + j)[k];
  }
}

// The features of a squashed Gaussian, of which the network's output has mean and log_std, and the width of the tiles.
std::pair<size_t, size_t> require_gaussian(const Mlp& network, const Tiles& squashed) {
  REQUIRE(network.tiles > 0, "no output before the first forward");
  const size_t outputs = static_cast<size_t>(network.layers.back().n_out());
  REQUIRE(outputs % 2 == 0, "mean and log_std need an even number of outputs, got " + std::to_string(outputs));
  const Batch batch = batch_of(squashed, static_cast<int32_t>(outputs / 2));
  REQUIRE(batch.tiles == network.tiles && batch.vectors == network.vectors, "the samples must be those of the last forward");
  return {outputs / 2, squashed.shape(2)};
}

// Writable float32 tiles of the sizes of a network's output.
float* of_output(const WritableTiles& out, const Mlp& network, const char* what) {
  REQUIRE(network.tiles > 0, "no output before the first forward");
  const size_t width = static_cast<size_t>(kLane) * network.vectors, features = static_cast<size_t>(network.layers.back().n_out());
  REQUIRE(out.shape(0) == static_cast<size_t>(network.tiles) && out.shape(1) == features && out.shape(2) == width &&
              out.stride(2) == 1 && (features == 1 || out.stride(1) == static_cast<int64_t>(width)),
          std::string(what) + " must have the shape of the output, with contiguous features");
  require_aligned(out);
  return out.data();
}

void require_backward(const std::vector<Mlp*>& networks, const Tiles& x, const std::vector<Tiles>& gradients) {
  require_networks(networks);
  REQUIRE(networks.size() == gradients.size(), "one output gradient per network is needed");
  for (size_t i = 0; i < networks.size(); ++i) {
    const Mlp& network = *networks[i];
    const Batch batch = batch_of(x, network.layers[0].n_in());
    REQUIRE(network.layers[0].trainable(), "a target network has no gradient");
    REQUIRE(batch.tiles == network.tiles && batch.vectors == network.vectors, "backward needs the batch of the last forward");
    require_tiles(gradients[i], network.tiles, static_cast<size_t>(network.layers.back().n_out()), network.vectors, "the output gradient");
  }
}

Layer& layer_at(Mlp& mlp, int index) {
  REQUIRE(index >= 0 && static_cast<size_t>(index) < mlp.layers.size(), "no layer " + std::to_string(index));
  return mlp.layers[static_cast<size_t>(index)];
}

Layer make_layer(int32_t n_in, int32_t n_out, const nb::object& places, const Vector<float>& values, bool trainable) {
  REQUIRE(n_in > 0 && n_out > 0, "a layer needs at least one input and one output");
  REQUIRE(n_in <= 1 << 24 && n_out <= 1 << 24, "a layer has at most 2^24 inputs and outputs");
  if (places.is_none()) {
    REQUIRE(values.shape(0) == static_cast<size_t>(n_in) * static_cast<size_t>(n_out),
            "a dense layer of " + std::to_string(n_in) + " inputs and " + std::to_string(n_out) + " outputs needs " +
                std::to_string(static_cast<int64_t>(n_in) * n_out) + " values, got " + std::to_string(values.shape(0)));
    return Layer(n_in, n_out, nullptr, values.shape(0), values.data(), trainable);
  }
  const auto given = array_of<Vector<int64_t>>(places, "the places of a layer must be an array of int64, or None");
  REQUIRE(given.shape(0) == values.shape(0), "places and values must have one length");
  static const int64_t none = 0;  // an empty array may have a null pointer, which would mean dense
  return Layer(n_in, n_out, given.shape(0) ? given.data() : &none, given.shape(0), values.data(), trainable);
}

}  // namespace

NB_MODULE(_core, m) {
  m.doc() = "Sparse and dense networks on the CPU: layers, Adam, target networks, worker threads.";
  m.attr("LANE") = kLane;

  m.def("available_instruction_sets", &available_instruction_sets, "Names of the instruction sets this machine runs, best first.");
  m.def("instruction_set", [] { return std::string(kernels().name); }, "The instruction set in use.");
  m.def("widest_tile", [] { return kernels().widest; }, "The widest tiles that pay with the instruction set in use; wider ones work too.");
  m.def("use_instruction_set", &use_instruction_set, "name"_a, "Use one of the available instruction sets, in all networks.");

  m.def(
      "empty_tiles",
      [](size_t tiles, size_t features, size_t width) {
        REQUIRE(width > 0 && width % kLane == 0 && width <= static_cast<size_t>(kLane * kMaxVectors), "width must be a multiple of 16, at most 128");
        size_t row = 0, floats = 0;
        REQUIRE(!__builtin_mul_overflow(features, width, &row) && !__builtin_mul_overflow(tiles, row, &floats), "no memory has room for so many tiles");
        return view(Buffer<float>(floats), {tiles, features, width});
      },
      "tiles"_a, "features"_a, "width"_a, "A float32 array [tiles, features, width] of zeros, aligned to cache lines.");

  m.def(
      "gather_rows",
      [](const Rows& rows, const Vector<int64_t>& index, const std::vector<WritableTiles>& outs) {
        check_gather(rows, index.shape(0), outs);
        require_aligned(index);
        for (size_t i = 0; i < index.shape(0); ++i)
          REQUIRE(index.data()[i] >= 0 && static_cast<size_t>(index.data()[i]) < rows.shape(0),
                  "row " + std::to_string(index.data()[i]) + " of " + std::to_string(rows.shape(0)));
        const nb::gil_scoped_release release;
        gather_rows(rows, index.data(), 0, index.shape(0), outs);
      },
      "rows"_a, "index"_a, "outs"_a.noconvert(),  // into a converted copy nobody would look
      "Write rows[index[i]] into sample i of the tiles: its first columns as the features of the first, and so on.");

  m.def(
      "sample_rows",
      [](Pool& pool, const nb::object& bit_generator, const Rows& rows, size_t first, size_t live, size_t count,
         const std::vector<WritableTiles>& outs) {
        check_gather(rows, count, outs);
        const size_t capacity = rows.shape(0);
        REQUIRE(live > 0 && live <= capacity && live < uint64_t{1} << 32 && first < capacity,
                std::to_string(live) + " of " + std::to_string(capacity) + " rows, from row " + std::to_string(first) + ", cannot be live");
        const BitGenerator& bits = bits_of(bit_generator);
        std::vector<int64_t> index(count);
        for (int64_t& i : index) {
          const size_t row = first + below(bits, static_cast<uint32_t>(live));
          i = static_cast<int64_t>(row < capacity ? row : row - capacity);
        }
        const nb::gil_scoped_release release;
        const int threads = count * rows.shape(1) >= 4096 ? pool.threads() : 1;  // fewer numbers are not worth a hand-over
        pool.run(threads, [&](int i) {
          const auto part = [&](int k) { return std::min(count, (count + kLane - 1) / kLane * static_cast<size_t>(k) / static_cast<size_t>(threads) * kLane); };
          gather_rows(rows, index.data(), part(i), part(i + 1), outs);
        });
      },
      "pool"_a, "bit_generator"_a, "rows"_a, "first"_a, "live"_a, "count"_a, "outs"_a.noconvert(),
      "gather_rows of `count` rows of a ring, at `first` plus what Generator.integers(live, size=count) of a NumPy bit generator draws.");

  m.def(
      "sample_windows",
      [](const nb::object& bit_generator, const Rows& rows, const Vector<uint8_t>& ends, size_t first, size_t live, size_t count,
         int steps, float gamma, size_t observation_size, const std::vector<WritableTiles>& outs,
         const std::vector<WritableTiles>& between) {
        check_gather(rows, count, outs);
        const size_t capacity = rows.shape(0), columns = rows.shape(1);
        REQUIRE(ends.shape(0) == capacity, "rows and ends must have one length");
        REQUIRE(live > 0 && live <= capacity && live < uint64_t{1} << 32 && first < capacity, "no such rows are live");
        REQUIRE(steps >= 1 && columns >= 2 && observation_size <= (columns - 2) / 2, "rows need states, actions, next states, reward and continues");
        const BitGenerator& bits = bits_of(bit_generator);
        const size_t reward = columns - 2, next_state = reward - observation_size;
        REQUIRE(between.empty() || between.size() + 1 == static_cast<size_t>(steps), "windows have a state between each two of their steps");
        const size_t passed_columns = observation_size + 1;
        Buffer<float> windows(count * columns), passed(between.size() * count * passed_columns);
        const auto passed_in = [&](size_t step) {
          return Rows(passed.data() + step * count * passed_columns, {count, passed_columns});
        };
        for (size_t step = 0; step < between.size(); ++step) check_gather(passed_in(step), count, {between[step]});
        std::vector<int64_t> index(count);
        for (size_t i = 0; i < count; ++i) {
          index[i] = static_cast<int64_t>(i);
          size_t age = below(bits, static_cast<uint32_t>(live));  // from the oldest live row
          const float* row = rows.data() + (first + age) % capacity * columns;
          float* out = windows.data() + i * columns;
          std::copy_n(row, next_state, out);
          double sum = row[reward], discount = 1.0;
          for (int step = 1; step < steps && age + 1 < live && !ends.data()[(first + age) % capacity]; ++step) {
            discount *= gamma;
            if (!between.empty()) {
              float* state = passed.data() + (static_cast<size_t>(step - 1) * count + i) * passed_columns;
              std::copy_n(row + next_state, observation_size, state);
              state[observation_size] = static_cast<float>(discount);
            }
            row = rows.data() + (first + ++age) % capacity * columns;
            sum += discount * row[reward];
          }
          std::copy_n(row + next_state, observation_size, out + next_state);
          out[reward] = static_cast<float>(sum);
          out[reward + 1] = static_cast<float>(discount) * row[reward + 1];
        }
        gather_rows(Rows(windows.data(), {count, columns}), index.data(), 0, count, outs);
        for (size_t step = 0; step < between.size(); ++step) gather_rows(passed_in(step), index.data(), 0, count, {between[step]});
      },
      "bit_generator"_a, "rows"_a, "ends"_a, "first"_a, "live"_a, "count"_a, "steps"_a, "gamma"_a, "observation_size"_a,
      "outs"_a.noconvert(), "between"_a.noconvert() = std::vector<WritableTiles>(),
      "sample_rows of the windows of up to `steps` rows that begin at the rows drawn, each as one transition. Tile k of `between`, if there "
      "are any, has the state after k + 1 rows and gamma^(k + 1), or zeros where the window has no further row.");

  nb::class_<Pool>(m, "Pool", "Worker threads beside the caller.")
      .def("__init__",
           [](Pool* self, int threads) {
             REQUIRE(threads >= 1 && threads <= 256, "threads must be between 1 and 256, got " + std::to_string(threads));
             new (self) Pool(threads);
           },
           "threads"_a)
      .def_prop_ro("threads", &Pool::threads)
      .def("use", &Pool::use, "threads"_a, nb::call_guard<nb::gil_scoped_release>(), "Leave so many threads in use; the others sleep.")
      .def("close", &Pool::close, nb::call_guard<nb::gil_scoped_release>(), "Join the workers; later work is done by the caller.");

  nb::class_<Mlp>(m, "Mlp", "A multilayer perceptron over given places.")
      .def("__init__",
           [](Mlp* self, const std::vector<int32_t>& sizes, const nb::list& places, const nb::list& values, bool trainable) {
             REQUIRE(sizes.size() >= 2 && places.size() + 1 == sizes.size() && values.size() + 1 == sizes.size(),
                     "places and values need one entry per layer");
             std::vector<Layer> layers;
             for (size_t l = 0; l + 1 < sizes.size(); ++l)
               layers.push_back(make_layer(sizes[l], sizes[l + 1], places[l], array_of<Vector<float>>(values[l], "the values of a layer must be an array of float32"), trainable));
             new (self) Mlp(std::move(layers));
           },
           "sizes"_a, "places"_a, "values"_a, "trainable"_a = true)
      .def_prop_rw("steps", [](const Mlp& s) { return s.steps; },
                   [](Mlp& s, int64_t steps) {
                     REQUIRE(steps >= 0 && steps < int64_t{1} << 53, "steps must be between 0 and 2^53, got " + std::to_string(steps));
                     s.steps = steps;
                   },
                   "Steps of Adam done.")
      .def("dense", [](Mlp& s, int l) { return layer_at(s, l).dense(); }, "layer"_a)
      .def("connections", [](Mlp& s, int l) { return layer_at(s, l).connections(); }, "layer"_a)
      .def("version", [](Mlp& s, int l) { return layer_at(s, l).version; }, "layer"_a)
      .def("places", [](Mlp& s, int l) { return copy(layer_at(s, l).places()); }, "layer"_a)
      .def("values", [](Mlp& s, int l) { const Layer& a = layer_at(s, l); return read_only(a.values); }, "layer"_a)
      .def("set_values",
           [](Mlp& s, int l, const Vector<float>& values) {
             Layer& a = layer_at(s, l);
             REQUIRE(values.shape(0) == a.connections(),
                     "the layer has " + std::to_string(a.connections()) + " connections, got " + std::to_string(values.shape(0)) + " values");
             require_aligned(values);
             std::copy(values.data(), values.data() + values.shape(0), a.values.begin());
             a.changed();
           },
           "layer"_a, "values"_a)
      .def("gradient", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.gradient, {a.gradient.size()}); }, "layer"_a)
      .def("first_moment", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.m, {a.m.size()}); }, "layer"_a)
      .def("second_moment", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.v, {a.v.size()}); }, "layer"_a)
      .def("bias", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.bias, {a.bias.size()}); }, "layer"_a)
      .def("bias_gradient", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.bias_gradient, {a.bias_gradient.size()}); }, "layer"_a)
      .def("bias_first_moment", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.bias_m, {a.bias_m.size()}); }, "layer"_a)
      .def("bias_second_moment", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.bias_v, {a.bias_v.size()}); }, "layer"_a)
      .def("count_ages",
           [](Mlp& s) {
             REQUIRE(s.layers[0].trainable(), "a target network has no optimiser");
             s.count_ages();
           },
           "From now on Adam's bias correction goes by the age of each connection of a sparse layer.")
      .def("born", [](Mlp& s, int l) { Layer& a = layer_at(s, l); return view(a.born, {a.born.size()}); }, "layer"_a)
      .def("output",
           [](Mlp& s) {
             REQUIRE(s.tiles > 0, "no output before the first forward");
             return view(s.output(), {static_cast<size_t>(s.tiles), static_cast<size_t>(s.layers.back().n_out()), static_cast<size_t>(kLane * s.vectors)});
           })
      .def("hidden",
           [](Mlp& s, int l) {
             REQUIRE(s.tiles > 0, "no activations before the first forward");
             const Layer& a = layer_at(s, l);
             REQUIRE(a.trainable() || l + 1 == static_cast<int>(s.layers.size()), "a target network does not keep its hidden activations");
             return view(s.hidden(static_cast<size_t>(l)), {static_cast<size_t>(s.tiles), static_cast<size_t>(a.n_out()), static_cast<size_t>(kLane * s.vectors)});
           },
           "layer"_a)
      .def("input_gradient",
           [](Mlp& s) {
             REQUIRE(s.input_gradient.size() > 0, "no input gradient before a backward with inputs");
             const size_t features = static_cast<size_t>(s.layers[0].n_in() - s.input_gradient_from);
             const size_t width = static_cast<size_t>(kLane) * s.vectors;
             REQUIRE(s.input_gradient.size() == s.tiles * features * width, "the input gradient is of another batch");
             return view(s.input_gradient, {static_cast<size_t>(s.tiles), features, width});
           })
      .def("act",
           [](Mlp& s, const Vector<float>& x) {
             Buffer<float> y = act(s, x);
             return view(y, {static_cast<size_t>(s.layers.back().n_out())});
           },
           "x"_a)
      .def("act_squashed",
           [](Mlp& s, const Vector<float>& x, const std::optional<nb::object>& bit_generator, float scale) {
             const FlushSubnormals flush;
             Buffer<float> y = act(s, x);
             const Buffer<float> noise = bit_generator ? normals(bits_of(*bit_generator), y.size()) : Buffer<float>();
             kernels().squash(y.size(), y.data(), noise.data(), scale, std::numeric_limits<float>::infinity(), y.data());
             return view(y, {static_cast<size_t>(s.layers.back().n_out())});
           },
           "x"_a, "bit_generator"_a = nb::none(), "scale"_a = 1.0f, "clip(tanh(act(x)) + scale * normal(...), -1, 1).")
      .def("dense_gradient",
           [](Mlp& s, int l, const Tiles& x) {
             const Layer& layer = layer_at(s, l);
             REQUIRE(layer.trainable(), "a target network has no gradient");
             REQUIRE(s.tiles > 0, "no gradient before the first backward");
             const Batch batch = batch_of(x, s.layers[0].n_in());
             REQUIRE(batch.tiles == s.tiles && batch.vectors == s.vectors, "the dense gradient needs the batch of the last backward");
             const FlushSubnormals flush;
             const size_t rows = static_cast<size_t>(layer.n_out()), columns = static_cast<size_t>(layer.n_in());
             Buffer<float> out(rows * columns);
             s.dense_gradient(batch, static_cast<size_t>(l), out.data());
             return view(out, {rows, columns});
           },
           "layer"_a, "x"_a, "The gradient of the last backward for every place of a layer, connection or not.")
      .def("rewire",
           [](Mlp& s, int l, const Vector<int64_t>& dropped, const Vector<int64_t>& grown) {
             layer_at(s, l);
             require_aligned(dropped);
             require_aligned(grown);
             s.rewire(static_cast<size_t>(l), dropped.data(), dropped.shape(0), grown.data(), grown.shape(0));
           },
           "layer"_a, "dropped"_a, "grown"_a);

  nb::class_<TargetUpdate>(m, "TargetUpdate", "The soft update and MaintainSparsity of one target network.")
      .def("__init__",
           [](TargetUpdate* self, Mlp& target, const Mlp& online, const std::vector<bool>& behind) {
             REQUIRE(!target.layers[0].trainable() && online.layers[0].trainable(), "a target is not trainable, what it follows is");
             REQUIRE(!target.followed, "the target follows a network already");
             new (self) TargetUpdate(target, online, behind);
             target.followed = true;
           },
           "target"_a, "online"_a, "behind"_a = std::vector<bool>{}, nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>())
      .def("behind", &TargetUpdate::behind, "Which layers of the online network have been rewired since the last update.");

  m.def(
      "forward",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x) {
        require_networks(networks);
        for (Mlp* network : networks) batch_of(x, network->layers[0].n_in());
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        if (networks.size() == 1) networks[0]->forward(batch, &pool);
        else pool.run(static_cast<int>(networks.size()), [&](int i) { networks[static_cast<size_t>(i)]->forward(batch); });
      },
      "pool"_a, "networks"_a, "x"_a, "Run each network on the tiles x [tiles, n_in, width]; threads share networks, or the layers of a single one.");

  m.def(
      "backward",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x, const std::vector<Tiles>& gradients, bool parameters, int32_t inputs_from) {
        require_backward(networks, x, gradients);
        for (const Mlp* network : networks) REQUIRE(inputs_from < network->layers[0].n_in(), "inputs_from is beyond the inputs");
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        if (networks.size() == 1) networks[0]->backward(batch, gradients[0].data(), parameters, inputs_from, &pool);
        else pool.run(static_cast<int>(networks.size()), [&](int i) {
          const size_t n = static_cast<size_t>(i);
          networks[n]->backward(batch, gradients[n].data(), parameters, inputs_from);
        });
      },
      "pool"_a, "networks"_a, "x"_a, "gradients"_a, "parameters"_a = true, "inputs_from"_a = -1,
      "Gradients of a loss, given those of the outputs; inputs_from >= 0 asks for those of inputs inputs_from, ...");

  m.def(
      "descend",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x, const std::vector<Tiles>& gradients, float learning_rate,
         float beta1, float beta2, float epsilon, float weight_decay) {
        require_backward(networks, x, gradients);
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        const Adam step{learning_rate, beta1, beta2, epsilon, weight_decay};
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        if (networks.size() == 1) networks[0]->backward(batch, gradients[0].data(), true, -1, &pool, &step);
        else pool.run(static_cast<int>(networks.size()), [&](int i) {
          const size_t n = static_cast<size_t>(i);
          networks[n]->backward(batch, gradients[n].data(), true, -1, nullptr, &step);
        });
      },
      "pool"_a, "networks"_a, "x"_a, "gradients"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a,
      "backward and adam in one, layer by layer.");

  m.def(
      "regress",
      [](Pool& pool, const std::vector<Mlp*>& networks, const Tiles& x, const Tiles& targets, const Tiles& weights,
         const std::vector<WritableTiles>& errors, float learning_rate, float beta1, float beta2, float epsilon, float weight_decay) {
        require_networks(networks);
        REQUIRE(networks.size() == errors.size(), "one array of errors per network is needed");
        if (networks.empty()) return;
        const Batch batch = batch_of(x, networks[0]->layers[0].n_in());
        require_tiles(targets, batch.tiles, 1, batch.vectors, "the targets");
        require_tiles(weights, batch.tiles, 1, batch.vectors, "the weights");
        for (size_t i = 0; i < networks.size(); ++i) {
          batch_of(x, networks[i]->layers[0].n_in());
          REQUIRE(networks[i]->layers[0].trainable(), "a target network has no optimiser");
          REQUIRE(networks[i]->layers.back().n_out() == 1, "a network with one output is needed");
          require_tiles(Tiles(errors[i]), batch.tiles, 1, batch.vectors, "the errors");
        }
        const Adam step{learning_rate, beta1, beta2, epsilon, weight_decay};
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        pool.run(static_cast<int>(networks.size()), [&](int i) {
          const size_t n = static_cast<size_t>(i);
          networks[n]->regress(batch, targets.data(), weights.data(), errors[n].data(), step);
        });
      },
      "pool"_a, "networks"_a, "x"_a, "targets"_a, "weights"_a, "errors"_a.noconvert(), "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a,
      "weight_decay"_a, "A step of Adam of each network down sum(weights * (output - targets)^2); errors = output - targets.");

  m.def(
      "minimum",
      [](const std::vector<Mlp*>& networks, float factor, const Tiles& scale, const Tiles& offset, const WritableTiles& out) {
        require_networks(networks);
        REQUIRE(!networks.empty(), "a network is needed");
        const Mlp& first = *networks[0];
        of_output(out, first, "the array to write to");
        const size_t features = out.shape(1), width = out.shape(2);
        for (const Tiles* t : {&scale, &offset}) {
          require_aligned(*t);
          REQUIRE(t->shape(0) == out.shape(0) && t->shape(1) == features && t->shape(2) == width && t->stride(2) == 1 &&
                      (features == 1 || t->stride(1) == static_cast<int64_t>(width)),
                  "scale and offset must have the shape of the output");
        }
        for (const Mlp* network : networks)
          REQUIRE(network->tiles == first.tiles && network->vectors == first.vectors && network->output().size() == first.output().size(),
                  "the networks have outputs of different shapes");
        const FlushSubnormals flush;
        for (size_t t = 0; t < out.shape(0); ++t)
          for (size_t i = 0; i < features * width; ++i) {
            float least = first.output()[t * features * width + i];
            for (const Mlp* network : networks) {
              const float value = network->output()[t * features * width + i];
              if (!(value >= least)) least = value;  // NaN included
            }
            const ptrdiff_t tile = static_cast<ptrdiff_t>(t), at = static_cast<ptrdiff_t>(i);
            out.data()[tile * out.stride(0) + at] =
                offset.data()[tile * offset.stride(0) + at] + factor * scale.data()[tile * scale.stride(0) + at] * least;
          }
      },
      "networks"_a, "factor"_a, "scale"_a, "offset"_a, "out"_a.noconvert(),
      "out = offset + factor * scale * (the least of the networks' last outputs).");

  m.def(
      "squash",
      [](const Mlp& network, const WritableTiles& out, const std::optional<nb::object>& bit_generator, float scale, float bound) {
        float* to = of_output(out, network, "the array to write to");
        const size_t floats = out.shape(1) * out.shape(2);
        const FlushSubnormals flush;
        Buffer<float> noise;
        if (bit_generator) noise = normals(bits_of(*bit_generator), out.shape(0) * floats);
        for (size_t t = 0; t < out.shape(0); ++t)
          kernels().squash(floats, network.output().data() + t * floats, bit_generator ? noise.data() + t * floats : nullptr, scale,
                           bound, to + static_cast<ptrdiff_t>(t) * out.stride(0));
      },
      "network"_a, "out"_a.noconvert(), "bit_generator"_a = nb::none(), "scale"_a = 1.0f, "bound"_a = 1.0f,
      "out = clip(tanh(the network's last output) + clip(scale * normal(...), -bound, bound), -1, 1), without noise if there is no generator.");

  m.def(
      "sample_squashed_gaussian",
      [](const Mlp& network, const WritableTiles& out, const WritableTiles& noise, const WritableTiles& log_probability, const nb::object& bit_generator) {
        const auto [actions, width] = require_gaussian(network, Tiles(out));
        require_tiles(Tiles(noise), network.tiles, actions, network.vectors, "the noise");
        require_tiles(Tiles(log_probability), network.tiles, 1, network.vectors, "the logarithm of the probability");
        const FlushSubnormals flush;
        const Buffer<float> drawn = normals(bits_of(bit_generator), noise.size());
        std::copy_n(drawn.data(), noise.size(), noise.data());
        std::fill_n(log_probability.data(), log_probability.size(), 0.0f);
        for (size_t t = 0; t < out.shape(0); ++t)
          for (size_t f = 0; f < actions; ++f) {
            const float* mean = network.output().data() + (2 * t * actions + f) * width;
            kernels().squashed_gaussian(width, mean, mean + actions * width, noise.data() + (t * actions + f) * width,
                                        out.data() + static_cast<ptrdiff_t>(t) * out.stride(0) + f * width, log_probability.data() + t * width);
          }
      },
      "network"_a, "out"_a.noconvert(), "noise"_a.noconvert(), "log_probability"_a.noconvert(), "bit_generator"_a,
      "out = tanh(mean + exp(log_std) * noise), with mean and log_std the halves of the network's last output.");

  m.def(
      "squashed_gaussian_gradient",
      [](const Mlp& network, const Tiles& squashed, const Tiles& noise, const Tiles& d_squashed, const Tiles& d_log_probability, const WritableTiles& out) {
        const auto [actions, width] = require_gaussian(network, squashed);
        require_gaussian(network, d_squashed);
        require_tiles(noise, network.tiles, actions, network.vectors, "the noise");
        require_tiles(d_log_probability, network.tiles, 1, network.vectors, "the gradient of the logarithm of the probability");
        require_tiles(Tiles(out), network.tiles, 2 * actions, network.vectors, "the array to write to");
        const FlushSubnormals flush;
        for (size_t t = 0; t < out.shape(0); ++t)
          for (size_t f = 0; f < actions; ++f) {
            const auto row = [&](const Tiles& tiles) { return tiles.data() + static_cast<ptrdiff_t>(t) * tiles.stride(0) + f * width; };
            const size_t mean = (2 * t * actions + f) * width, log_std = mean + actions * width;
            kernels().squashed_gaussian_gradient(width, network.output().data() + log_std, noise.data() + (t * actions + f) * width,
                                                 row(squashed), row(d_squashed), d_log_probability.data() + t * width,
                                                 out.data() + mean, out.data() + log_std);
          }
      },
      "network"_a, "squashed"_a, "noise"_a, "d_squashed"_a, "d_log_probability"_a, "out"_a.noconvert(),
      "The gradient of the network's last output, given those of what sample_squashed_gaussian wrote.");

  m.def(
      "normal",
      [](const nb::object& bit_generator, size_t count) {
        const Buffer<float> numbers = normals(bits_of(bit_generator), count);
        return view(numbers, {count});
      },
      "bit_generator"_a, "count"_a, "Independent standard normal numbers, float32 [count], from a NumPy bit generator.");

  m.def(
      "squash_gradient",
      [](const Tiles& squashed, const WritableTiles& gradient) {
        REQUIRE(squashed.shape(0) == gradient.shape(0) && squashed.shape(1) == gradient.shape(1) && squashed.shape(2) == gradient.shape(2),
                "both must have one shape");
        REQUIRE(squashed.shape(2) <= 1 || (squashed.stride(2) == 1 && gradient.stride(2) == 1), "the samples of a feature must be contiguous");
        require_aligned(squashed);
        require_aligned(gradient);
        for (size_t t = 0; t < gradient.shape(0); ++t)
          for (size_t f = 0; f < gradient.shape(1); ++f) {
            const auto row = [&](const auto& tiles) {
              return tiles.data() + static_cast<ptrdiff_t>(t) * tiles.stride(0) + static_cast<ptrdiff_t>(f) * tiles.stride(1);
            };
            const float* a = row(squashed);
            float* g = row(gradient);
            for (size_t i = 0; i < gradient.shape(2); ++i) g[i] *= 1.0f - a[i] * a[i];
          }
      },
      "squashed"_a, "gradient"_a.noconvert(), "gradient *= 1 - squashed^2, the derivative of tanh.");

  m.def(
      "adam",
      [](Pool& pool, const std::vector<Mlp*>& networks, float learning_rate, float beta1, float beta2, float epsilon, float weight_decay) {
        require_networks(networks);
        for (const Mlp* network : networks) REQUIRE(network->layers[0].trainable(), "a target network has no optimiser");
        const nb::gil_scoped_release release;
        const FlushSubnormals flush;
        const Adam settings{learning_rate, beta1, beta2, epsilon, weight_decay};
        if (networks.size() == 1) networks[0]->adam(settings, &pool);
        else pool.run(static_cast<int>(networks.size()), [&](int i) { networks[static_cast<size_t>(i)]->adam(settings); });
      },
      "pool"_a, "networks"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a);

  m.def(
      "update_targets",
      [](Pool& pool, const std::vector<TargetUpdate*>& updates, float tau) {
        require_networks(updates);
        const nb::gil_scoped_release release;
        pool.run(static_cast<int>(updates.size()), [&](int i) { updates[static_cast<size_t>(i)]->update(tau); });
      },
      "pool"_a, "updates"_a, "tau"_a);
}

}  // namespace rewirl
