#include "product.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "kernels/cpu.hpp"
#include "kernels/vec.hpp"

namespace rewirl {
namespace {

constexpr size_t kTilesAtOnce = 8;  // scratch memory grows no further with the batch
constexpr size_t kSquare = 16;      // a cache line each way

// Scratch memory of the thread that calls, kept from call to call: fresh pages cost as much as packing does.
float* scratch(size_t floats) {
  thread_local Buffer<float> memory;
  if (memory.size() < floats) memory = Buffer<float>(floats);
  return memory.data();
}

// The threads that work on a pass; less work is not worth a hand-over.
struct Workers {
  const Team& team;
  int threads;
  Workers(const Team& given, size_t connections, size_t samples)
      : team(given), threads(!given.parallel || connections * samples < size_t{1} << 19 ? 1 : given.threads) {}

  // Does all tasks, whichever thread does which.
  template <class Task>
  void run(int tasks, const Task& task) const {
    if (threads == 1 || tasks == 1) {
      for (int i = 0; i < tasks; ++i) task(i);
      return;
    }
    struct Run {
      const Task& task;
      const int tasks;
      std::atomic<int> next{0};
    } all{task, tasks};
    const auto work = [](void* data) {
      Run& run = *static_cast<Run*>(data);
      const FlushSubnormals flush;
      for (int i = run.next++; i < run.tasks; i = run.next++) run.task(i);
    };
    team.parallel(work, &all, static_cast<unsigned>(std::min(threads, tasks)), 0);
  }

  // Steps on the tiles of a batch: each tile by one thread, or all threads on every tile where there are fewer tiles
  // than threads. Results do not depend on which.
  template <class... Steps>
  void each_tile(int tiles, const Steps&... steps) const {
    if (tiles >= threads) return run(tiles, [&](int tile) { (steps(tile, Part{}), ...); });
    const int parts = (threads + tiles - 1) / tiles;
    (run(tiles * parts, [&](int i) { steps(i / parts, Part{i % parts, parts}); }), ...);
  }
};

// Rows of a batch as tiles.
struct Tiled {
  float* data;
  size_t features, width;
  float* tile(int t) const { return data + static_cast<size_t>(t) * features * width; }

  // Packs the rows of one tile, and zeros behind them.
  void pack(ConstRows rows, size_t samples, int t, Part part) const {
    const size_t first = static_cast<size_t>(t) * width, here = std::min(samples - first, width);
    const size_t begin = begin_of(part), end = end_of(part);
    if (begin == end) return;
    float* out = tile(t) + begin * width;
    transpose(rows.data + static_cast<ptrdiff_t>(first) * rows.stride + begin, rows.stride, out,
              static_cast<ptrdiff_t>(width), here, end - begin);
    for (size_t f = 0; here < width && f < end - begin; ++f) std::fill_n(out + f * width + here, width - here, 0.0f);
  }

  void unpack(MutableRows rows, size_t samples, int t, Part part) const {
    const size_t first = static_cast<size_t>(t) * width, here = std::min(samples - first, width);
    const size_t begin = begin_of(part), end = end_of(part);
    if (begin == end) return;
    transpose(tile(t) + begin * width, static_cast<ptrdiff_t>(width),
              rows.data + static_cast<ptrdiff_t>(first) * rows.stride + begin, rows.stride, end - begin, here);
  }

 private:
  size_t begin_of(Part part) const { return static_cast<size_t>(part.begin(static_cast<int64_t>(features), kSquare)); }
  size_t end_of(Part part) const { return static_cast<size_t>(part.end(static_cast<int64_t>(features), kSquare)); }
};

// Calls visit(first sample, samples, tiles) for stretches of a batch.
template <class Visit>
void each_stretch(size_t samples, size_t width, const Visit& visit) {
  for (size_t first = 0; first < samples; first += kTilesAtOnce * width) {
    const size_t here = std::min(samples - first, kTilesAtOnce * width);
    visit(first, here, static_cast<int>((here + width - 1) / width));
  }
}

template <class Rows>
Rows from(Rows rows, size_t first) {
  return {rows.data + static_cast<ptrdiff_t>(first) * rows.stride, rows.stride};
}

}  // namespace

void transpose(const float* in, ptrdiff_t in_stride, float* out, ptrdiff_t out_stride, size_t rows, size_t columns) {
  const size_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  const auto at = [&](size_t i, size_t j) { return in + static_cast<ptrdiff_t>(i) * in_stride + j; };
  const auto to = [&](size_t i, size_t j) { return out + static_cast<ptrdiff_t>(j) * out_stride + i; };
  const auto square = [&](size_t i, size_t j) {
    const Square done = transposed(load4(at(i, j)), load4(at(i + 1, j)), load4(at(i + 2, j)), load4(at(i + 3, j)));
    for (size_t k = 0; k < 4; ++k) store4(to(i, j + k), done.row[k]);
  };
  // Rows of a batch lie a power of two apart more often than not, and then the cache holds few of their lines at once.
  // So the lines of the side whose rows lie further apart are finished four at a time.
  const bool by_column = out_stride > in_stride;
  for (size_t row = 0; row < whole_rows; row += kSquare)
    for (size_t column = 0; column < whole_columns; column += kSquare) {
      const size_t row_end = std::min(row + kSquare, whole_rows),
                   column_end = std::min(column + kSquare, whole_columns);
      if (by_column) {
        for (size_t j = column; j < column_end; j += 4)
          for (size_t i = row; i < row_end; i += 4) square(i, j);
      } else {
        for (size_t i = row; i < row_end; i += 4)
          for (size_t j = column; j < column_end; j += 4) square(i, j);
      }
    }
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j) *to(i, j) = *at(i, j);
}

// The values in the matrix while it computes. Passes with the same values share the matrix.
class Product::Lent {
 public:
  Lent(const Product& product, const float* values) : reading_(product.mutex_) {
    Weights& weights = *product.weights_;
    if (product.sorted_ && weights.values.data() == values) return;
    reading_.unlock();
    writing_ = std::unique_lock<std::shared_mutex>(product.mutex_);
    if (product.sorted_) {  // nothing here writes to them
      weights.values = Buffer<float>({const_cast<float*>(values), [](float*) {}}, product.connections());
    } else {
      weights.values = Buffer<float>(product.connections());
      for (size_t k = 0; k < product.connections(); ++k) weights.values[k] = values[product.order_[k]];
    }
  }

 private:
  std::shared_lock<std::shared_mutex> reading_;
  std::unique_lock<std::shared_mutex> writing_;
};

Product::Product(int32_t n_out, int32_t n_in, int32_t height, const int64_t* places, size_t connections) {
  const Buffer<float> zeros(connections);
  weights_ = make_weights(height > 1 ? "blocks" : "unstructured",
                          {n_in, n_out, places, connections, zeros.data(), true, &order_, height});
  weights_->values = weights_->m = weights_->v = {};
  sorted_ = std::is_sorted(order_.begin(), order_.end());
}

void Product::forward(const Team& team, const float* values, const float* bias, ConstRows x, MutableRows y,
                      size_t samples, int width) const {
  const Lent lent(*this, values);
  const FlushSubnormals flush;
  const Workers workers(team, connections(), samples);
  const size_t in = static_cast<size_t>(n_in()), out = static_cast<size_t>(n_out());
  const size_t wide = static_cast<size_t>(width), tiles_at_once = std::min(kTilesAtOnce, (samples + wide - 1) / wide);
  float* memory = scratch(tiles_at_once * wide * (in + out));
  const Tiled xs{memory, in, wide}, ys{memory + tiles_at_once * wide * in, out, wide};
  each_stretch(samples, wide, [&](size_t first, size_t here, int tiles) {
    workers.each_tile(
        tiles, [&](int t, Part part) { xs.pack(from(x, first), here, t, part); },
        [&](int t, Part part) { weights_->forward(xs.tile(t), ys.tile(t), width / kLane, bias, Epilogue::none, part); },
        [&](int t, Part part) { ys.unpack(from(y, first), here, t, part); });
  });
}

void Product::backward(const Team& team, const float* values, ConstRows x, ConstRows dy, const ProductGradients& out,
                       size_t samples, int width) const {
  const Lent lent(*this, values);
  const FlushSubnormals flush;
  const Workers workers(team, connections(), samples);
  const size_t ins = static_cast<size_t>(n_in()), outs = static_cast<size_t>(n_out()), n = connections();
  const size_t wide = static_cast<size_t>(width), tiles_at_once = std::min(kTilesAtOnce, (samples + wide - 1) / wide);
  const int vectors = width / kLane;
  float* memory = scratch(tiles_at_once * wide * (2 * ins + outs) + n + outs);
  const Tiled xs{memory, ins, wide}, dxs{memory + tiles_at_once * wide * ins, ins, wide},
      dys{memory + tiles_at_once * wide * 2 * ins, outs, wide};
  float* sum = memory + tiles_at_once * wide * (2 * ins + outs);  // of a stretch, in the order that computes
  float* bias_sum = sum + n;
  if (out.values) std::fill_n(out.values, n, 0.0f);
  if (out.bias) std::fill_n(out.bias, outs, 0.0f);
  each_stretch(samples, wide, [&](size_t first, size_t here, int tiles) {
    workers.each_tile(
        tiles,
        [&](int t, Part part) {
          dys.pack(from(dy, first), here, t, part);
          if (out.values) xs.pack(from(x, first), here, t, part);
        },
        [&](int t, Part part) {
          if (out.x) weights_->input_gradient(dys.tile(t), dxs.tile(t), vectors, 0, nullptr, part);
        },
        [&](int t, Part part) {
          if (out.x) dxs.unpack(from(out.x, first), here, t, part);
        });
    if (!out.values && !out.bias) return;
    workers.run(workers.threads, [&](int i) {
      const Part part{i, workers.threads};
      const size_t begin = static_cast<size_t>(part.begin(n_out())),
                   rows = static_cast<size_t>(part.end(n_out())) - begin;
      if (out.bias) {
        for (int t = 0; t < tiles; ++t)
          kernels().row_sums(static_cast<int>(rows), dys.tile(t) + begin * wide, bias_sum + begin, vectors, t > 0);
        for (size_t r = begin; r < begin + rows; ++r) out.bias[r] += bias_sum[r];
      }
      if (!out.values) return;
      const Batch batch{xs.data, static_cast<ptrdiff_t>(ins * wide), tiles, vectors};
      if (weights_->whole_batch())
        weights_->batch_gradient(dys.data, batch, sum, part);
      else
        for (int t = 0; t < tiles; ++t)
          weights_->weight_gradient(dys.tile(t), xs.tile(t), sum, vectors, t > 0, nullptr, part);
      weights_->stretches(part, [&](size_t from_value, size_t to_value) {
        for (size_t k = from_value; k < to_value; ++k) out.values[order_[k]] += sum[k];
      });
    });
  });
}

}  // namespace rewirl
