#include "rows.hpp"

#include <algorithm>

#include "kernels/vec.hpp"

namespace rewirl {

void gather_rows(const RowMatrix& rows, const int64_t* index, size_t begin, size_t end,
                 const std::vector<MutableTiles>& outs) {
  const size_t columns = rows.columns, width = outs[0].width;
  const auto row_at = [&](size_t i) { return rows.row(static_cast<size_t>(index[i])); };
  const auto prefetch = [&](size_t i) {  // the memory is far larger than any cache
    const char* ahead = reinterpret_cast<const char*>(row_at(i));
    for (size_t byte = 0; byte < columns * sizeof(float); byte += 64) __builtin_prefetch(ahead + byte, 0, 2);
    __builtin_prefetch(ahead + columns * sizeof(float) - 1, 0, 2);
  };
  const size_t in_flight =
      256 * 1024 / (columns * sizeof(float)) + 1;  // as much as the second-level cache has room for
  for (size_t i = begin; i < std::min(begin + in_flight, end); ++i) prefetch(i);
  std::vector<float*> features(columns);  // of the current tile
  for (size_t i = begin; i < end; i += 4) {
    if (i == begin || i % width == 0) {
      size_t f = 0;
      for (const MutableTiles& out : outs)
        for (size_t k = 0; k < out.features; ++k) features[f++] = out.row(i / width, k);
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

void sample_rows(Pool& pool, const BitGenerator& bits, const Ring& ring, size_t count,
                 const std::vector<MutableTiles>& outs, const ExpectedRow* expected) {
  const size_t capacity = ring.rows.rows;
  std::vector<int64_t> index(count);
  for (int64_t& i : index) {
    const size_t row = ring.first + below(bits, static_cast<uint32_t>(ring.live));
    i = static_cast<int64_t>(row < capacity ? row : row - capacity);
  }
  if (expected != nullptr && std::find(index.begin(), index.end(), expected->row) != index.end()) expected->wait();
  const int threads =
      count * ring.rows.columns >= 4096 ? pool.threads() : 1;  // fewer numbers are not worth a hand-over
  pool.run(threads, [&](int i) {
    const Part part{i, threads};
    gather_rows(ring.rows, index.data(), static_cast<size_t>(part.begin(static_cast<int64_t>(count), kLane)),
                static_cast<size_t>(part.end(static_cast<int64_t>(count), kLane)), outs);
  });
}

void sample_windows(const BitGenerator& bits, const Ring& ring, const Windows& windows, size_t count,
                    const std::vector<MutableTiles>& outs, const std::vector<MutableTiles>& between) {
  const RowMatrix& rows = ring.rows;
  const size_t columns = rows.columns, reward = columns - 2, next_state = reward - windows.state_size;
  const size_t passed_columns = windows.state_size + 1;
  Buffer<float> found(count * columns), passed(between.size() * count * passed_columns);
  std::vector<int64_t> index(count);
  for (size_t i = 0; i < count; ++i) {
    index[i] = static_cast<int64_t>(i);
    size_t age = below(bits, static_cast<uint32_t>(ring.live));  // from the oldest live row
    const auto at = [&] { return (ring.first + age) % rows.rows; };
    const float* row = rows.row(at());
    float* out = found.data() + i * columns;
    std::copy_n(row, next_state, out);
    double sum = row[reward], discount = 1.0;
    for (int step = 1; step < windows.steps && windows.stride < ring.live - age && !windows.ends[at()]; ++step) {
      discount *= windows.discount;
      if (!between.empty()) {
        float* state = passed.data() + (static_cast<size_t>(step - 1) * count + i) * passed_columns;
        std::copy_n(row + next_state, windows.state_size, state);
        state[windows.state_size] = static_cast<float>(discount);
      }
      age += windows.stride;
      row = rows.row(at());
      sum += discount * row[reward];
    }
    std::copy_n(row + next_state, windows.state_size, out + next_state);
    out[reward] = static_cast<float>(sum);
    out[reward + 1] = static_cast<float>(discount) * row[reward + 1];
  }
  gather_rows({found.data(), count, columns}, index.data(), 0, count, outs);
  for (size_t step = 0; step < between.size(); ++step)
    gather_rows({passed.data() + step * count * passed_columns, count, passed_columns}, index.data(), 0, count,
                {between[step]});
}

}  // namespace rewirl
