// What the bindings check arguments with. Every argument is checked here; the kernels trust what they get.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "buffer.hpp"
#include "kernels/cpu.hpp"
#include "random.hpp"
#include "rows.hpp"
#include "tiles.hpp"

namespace rewirl {

namespace nb = nanobind;
using namespace nb::literals;

template <class T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using WritableVector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Tiles = nb::ndarray<const float, nb::ndim<3>, nb::device::cpu>;
using WritableTiles = nb::ndarray<float, nb::ndim<3>, nb::device::cpu>;
using Rows = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// Other threads of Python run while it lives. Where the interpreter has ended meanwhile, Python up to 3.13 ends the
// thread that comes back, by unwinding its stack, and C++ that it passes ends the process with an abort. So the thread
// waits here for the end of the process instead, as later versions let it.
class Released {
 public:
  Released() : state_(PyEval_SaveThread()) {}
  ~Released() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) pause();
    }
  }
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;

 private:
  PyThreadState* state_;
};

// The message is put together only if it is needed: checks stand in paths of microseconds.
#define REQUIRE(condition, message) \
  if (!(condition)) throw std::invalid_argument(message)

// Arrays may lie at any byte; the kernels read whole numbers.
template <class Array>
void require_aligned(const Array& array) {
  REQUIRE(reinterpret_cast<uintptr_t>(array.data()) % sizeof(*array.data()) == 0,
          "an array is not aligned to its numbers");
}

template <class T>
nb::capsule owner_of(const Buffer<T>& buffer) {
  using Share = std::shared_ptr<T>;
  return nb::capsule(new Share(buffer.share()), [](void* p) noexcept { delete static_cast<Share*>(p); });
}

template <class T>
nb::ndarray<nb::numpy, T> view(const Buffer<T>& buffer, std::initializer_list<size_t> shape) {
  return nb::ndarray<nb::numpy, T>(buffer.data(), shape, owner_of(buffer));
}

template <class T>
nb::ndarray<nb::numpy, T> view(const Buffer<T>& buffer) {
  return view(buffer, {buffer.size()});
}

template <class T>
nb::ndarray<nb::numpy, const T> read_only(const Buffer<T>& buffer) {
  return nb::ndarray<nb::numpy, const T>(buffer.data(), {buffer.size()}, owner_of(buffer));
}

template <class T>
nb::ndarray<nb::numpy, T> copy(const std::vector<T>& data) {
  Buffer<T> buffer(data.size());
  std::copy(data.begin(), data.end(), buffer.begin());
  return view(buffer);
}

inline std::string shape_text(const Tiles& x) {
  return "[" + std::to_string(x.shape(0)) + ", " + std::to_string(x.shape(1)) + ", " + std::to_string(x.shape(2)) + "]";
}

inline bool is_width(int64_t width) { return width > 0 && width % kLane == 0 && width <= kLane * kMaxVectors; }

inline void require_width(int64_t width) { REQUIRE(is_width(width), "width must be a multiple of 16, at most 128"); }

// Tiles of any number of features, which may be a slice of those of wider tiles.
inline void require_slice(const Tiles& x) {
  REQUIRE(x.shape(0) > 0 && x.shape(0) <= static_cast<size_t>(std::numeric_limits<int>::max()) &&
              is_width(static_cast<int64_t>(x.shape(2))),
          "tiles must be [tiles, features, width] with width a multiple of 16, at most 128; got " + shape_text(x));
  REQUIRE(x.stride(2) == 1 && (x.shape(1) <= 1 || x.stride(1) == static_cast<int64_t>(x.shape(2))),
          "the features of a tile must be contiguous");
  REQUIRE(x.shape(0) == 1 || x.stride(0) >= static_cast<int64_t>(x.shape(1) * x.shape(2)), "tiles must not overlap");
  require_aligned(x);
}

inline Batch batch_of(const Tiles& x, int32_t features) {
  REQUIRE(x.shape(1) == static_cast<size_t>(features),
          "the input has " + std::to_string(x.shape(1)) + " features, the network takes " + std::to_string(features));
  require_slice(x);
  return {x.data(), static_cast<ptrdiff_t>(x.stride(0)), static_cast<int>(x.shape(0)),
          static_cast<int>(x.shape(2)) / kLane};
}

inline void require_tiles(const Tiles& x, int tiles, size_t features, int vectors, const char* what) {
  const size_t width = static_cast<size_t>(kLane) * static_cast<size_t>(vectors);
  const bool contiguous = x.stride(2) == 1 && (x.shape(1) == 1 || x.stride(1) == static_cast<int64_t>(width)) &&
                          (x.shape(0) == 1 || x.stride(0) == static_cast<int64_t>(features * width));
  REQUIRE(x.shape(0) == static_cast<size_t>(tiles) && x.shape(1) == features && x.shape(2) == width && contiguous,
          std::string(what) + " must be contiguous [" + std::to_string(tiles) + ", " + std::to_string(features) + ", " +
              std::to_string(width) + "], got " + shape_text(x));
  require_aligned(x);
}

inline ConstTiles tiles_of(const Tiles& x) {
  return {x.data(), static_cast<ptrdiff_t>(x.stride(0)), x.shape(0), x.shape(1), x.shape(2)};
}
inline MutableTiles tiles_of(const WritableTiles& x) {
  return {x.data(), static_cast<ptrdiff_t>(x.stride(0)), x.shape(0), x.shape(1), x.shape(2)};
}
inline std::vector<MutableTiles> tiles_of(const std::vector<WritableTiles>& all) {
  std::vector<MutableTiles> result;
  for (const WritableTiles& x : all) result.push_back(tiles_of(x));
  return result;
}

// Threads take one each, so none may be there twice.
template <class T>
void require_distinct(const std::vector<T*>& objects) {
  for (auto object = objects.begin(); object != objects.end(); ++object) {
    REQUIRE(*object != nullptr, "a network is None");
    REQUIRE(std::find(objects.begin(), object, *object) == object, "a network is given twice");
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

// Takes the bit generator, not its capsule, which does not keep it alive.
inline const BitGenerator& bits_of(const nb::handle& bit_generator) {
  static const nb::handle type = nb::object(nb::module_::import_("numpy.random").attr("BitGenerator")).release();
  REQUIRE(nb::isinstance(bit_generator, type), "a NumPy bit generator is needed, such as Generator.bit_generator");
  const nb::capsule capsule = nb::cast<nb::capsule>(bit_generator.attr("capsule"));
  REQUIRE(capsule.name() && std::strcmp(capsule.name(), "BitGenerator") == 0,
          "the bit generator has no capsule of NumPy's");
  return *static_cast<const BitGenerator*>(capsule.data());
}

void bind_replay(nb::module_& m);
void bind_heads(nb::module_& m);
void bind_networks(nb::module_& m);
void bind_passes(nb::module_& m);
void bind_product(nb::module_& m);
void bind_stream(nb::module_& m);
void bind_units(nb::module_& m);

}  // namespace rewirl
