// The Python face of the core.
#include "bindings/arguments.hpp"
#include "pool.hpp"

namespace rewirl {

NB_MODULE(_core, m) {
  m.doc() = "Sparse and dense networks on the CPU: layers, Adam, target networks, worker threads.";
  nb::set_leak_warnings(false);  // a thread that a program leaves behind keeps its networks until the process ends
  m.attr("LANE") = kLane;
  m.attr("KERNEL_GENERATION") = kKernelGeneration;
#ifdef _GLIBCXX_USE_CXX11_ABI
  m.attr("CXX11_ABI") = static_cast<int>(_GLIBCXX_USE_CXX11_ABI);  // which of two std::string; of GNU's library alone
#else
  m.attr("CXX11_ABI") = nb::none();
#endif

  m.def("available_instruction_sets", &available_instruction_sets,
        "Names of the instruction sets this machine runs, best first.");
  m.def("instruction_set", [] { return std::string(kernels().name); }, "The instruction set in use.");
  m.def(
      "widest_tile", [] { return kernels().widest; },
      "The widest tiles that pay with the instruction set in use; wider ones work too.");
  m.def("use_instruction_set", &use_instruction_set, "name"_a,
        "Use one of the available instruction sets, in all networks.");

  m.def(
      "empty_tiles",
      [](size_t tiles, size_t features, size_t width) {
        require_width(static_cast<int64_t>(width));
        size_t row = 0, floats = 0;
        REQUIRE(!__builtin_mul_overflow(features, width, &row) && !__builtin_mul_overflow(tiles, row, &floats),
                "no memory has room for so many tiles");
        return view(Buffer<float>(floats), {tiles, features, width});
      },
      "tiles"_a, "features"_a, "width"_a, "A float32 array [tiles, features, width] of zeros, aligned to cache lines.");

  m.def(
      "normal",
      [](const nb::object& bit_generator, size_t count) {
        return view(normals(bits_of(bit_generator), count), {count});
      },
      "bit_generator"_a, "count"_a,
      "Independent standard normal numbers, float32 [count], from a NumPy bit generator.");

  nb::class_<Pool>(m, "Pool", "Worker threads beside the caller.")
      .def(
          "__init__",
          [](Pool* self, int threads) {
            REQUIRE(threads >= 1 && threads <= 256,
                    "threads must be between 1 and 256, got " + std::to_string(threads));
            new (self) Pool(threads);
          },
          "threads"_a)
      .def_prop_ro("threads", &Pool::threads)
      .def("use", &Pool::use, "threads"_a, nb::call_guard<Released>(),
           "Leave so many threads in use; the others sleep.")
      .def("close", &Pool::close, nb::call_guard<Released>(), "Join the workers; later work is done by the caller.");

  bind_replay(m);
  bind_heads(m);
  bind_networks(m);
  bind_passes(m);
  bind_product(m);
  bind_stream(m);
  bind_units(m);
}

}  // namespace rewirl
