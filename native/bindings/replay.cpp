// Samples of a replay memory.
#include "bindings/arguments.hpp"

namespace rewirl {
namespace {

void require_gather(size_t columns, size_t batch, const std::vector<WritableTiles>& outs) {
  size_t needed = 0;
  for (const WritableTiles& out : outs) {
    needed += out.shape(1);
    require_slice(Tiles(out));
    REQUIRE(batch <= out.shape(0) * out.shape(2), "the batch does not fit into the tiles");
    REQUIRE(out.shape(0) == outs[0].shape(0) && out.shape(2) == outs[0].shape(2),
            "the tiles differ in number or width");
  }
  REQUIRE(needed == columns,
          "rows have " + std::to_string(columns) + " columns, the tiles " + std::to_string(needed) + " features");
  REQUIRE(needed > 0, "rows without columns are nothing to gather");
}

RowMatrix matrix_of(const Rows& rows) {
  require_aligned(rows);
  return {rows.data(), rows.shape(0), rows.shape(1)};
}

Ring ring_of(const Rows& rows, size_t first, size_t live) {
  const size_t capacity = rows.shape(0);
  REQUIRE(live > 0 && live <= capacity && live < uint64_t{1} << 32 && first < capacity,
          std::to_string(live) + " of " + std::to_string(capacity) + " rows, from row " + std::to_string(first) +
              ", cannot be live");
  return {matrix_of(rows), first, live};
}

}  // namespace

void bind_replay(nb::module_& m) {
  m.def(
      "gather_rows",
      [](const Rows& rows, const Vector<int64_t>& index, const std::vector<WritableTiles>& outs) {
        const RowMatrix matrix = matrix_of(rows);
        require_gather(matrix.columns, index.shape(0), outs);
        require_aligned(index);
        for (size_t i = 0; i < index.shape(0); ++i)
          REQUIRE(index.data()[i] >= 0 && static_cast<size_t>(index.data()[i]) < rows.shape(0),
                  "row " + std::to_string(index.data()[i]) + " of " + std::to_string(rows.shape(0)));
        const Released release;
        gather_rows(matrix, index.data(), 0, index.shape(0), tiles_of(outs));
      },
      "rows"_a, "index"_a, "outs"_a.noconvert(),  // into a converted copy nobody would look
      "Write rows[index[i]] into sample i of the tiles: its first columns as the features of the first, and so on.");

  m.def(
      "sample_rows",
      [](Pool& pool, const nb::object& bit_generator, const Rows& rows, size_t first, size_t live, size_t count,
         const std::vector<WritableTiles>& outs, int64_t expected, const nb::object& wait) {
        require_gather(rows.shape(1), count, outs);
        const Ring ring = ring_of(rows, first, live);
        REQUIRE(expected < 0 || !wait.is_none(), "what is expected has to be waited for");
        const BitGenerator& bits = bits_of(bit_generator);
        const ExpectedRow row{expected, [&wait] {
                                const nb::gil_scoped_acquire acquire;
                                wait();
                              }};
        const Released release;
        sample_rows(pool, bits, ring, count, tiles_of(outs), expected < 0 ? nullptr : &row);
      },
      "pool"_a, "bit_generator"_a, "rows"_a, "first"_a, "live"_a, "count"_a, "outs"_a.noconvert(), "expected"_a = -1,
      "wait"_a = nb::none(),
      "gather_rows of `count` rows of a ring, at `first` plus what Generator.integers(live, size=count) of a NumPy bit "
      "generator draws. If row number `expected` is among them, `wait` is called before any is read; it may write it.");

  m.def(
      "sample_windows",
      [](const nb::object& bit_generator, const Rows& rows, const Vector<uint8_t>& ends, size_t first, size_t live,
         size_t count, int steps, float gamma, size_t observation_size, const std::vector<WritableTiles>& outs,
         const std::vector<WritableTiles>& between, size_t stride) {
        const size_t columns = rows.shape(1);
        require_gather(columns, count, outs);
        REQUIRE(ends.shape(0) == rows.shape(0), "rows and ends must have one length");
        const Ring ring = ring_of(rows, first, live);
        REQUIRE(steps >= 1 && columns >= 2 && observation_size <= (columns - 2) / 2,
                "rows need states, actions, next states, reward and continues");
        REQUIRE(stride >= 1, "a row follows on another one, at least 1 later");
        REQUIRE(between.empty() || between.size() + 1 == static_cast<size_t>(steps),
                "windows have a state between each two of their steps");
        for (const WritableTiles& tiles : between) require_gather(observation_size + 1, count, {tiles});
        const BitGenerator& bits = bits_of(bit_generator);
        sample_windows(bits, ring, {steps, stride, gamma, observation_size, ends.data()}, count, tiles_of(outs),
                       tiles_of(between));
      },
      "bit_generator"_a, "rows"_a, "ends"_a, "first"_a, "live"_a, "count"_a, "steps"_a, "gamma"_a, "observation_size"_a,
      "outs"_a.noconvert(), "between"_a.noconvert() = std::vector<WritableTiles>(), "stride"_a = 1,
      "sample_rows of the windows of up to `steps` rows that begin at the rows drawn, each as one transition. Tile k "
      "of "
      "`between`, if there are any, has the state after k + 1 rows and gamma^(k + 1), or zeros where the window has no "
      "further row. What follows on a row is `stride` rows later.");
}

}  // namespace rewirl
