// Connections in blocks: groups of outputs, one after the other, that share their inputs. An input is in a group with
// all of its outputs or with none; the last group may have fewer of them.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "cut.hpp"
#include "formats/formats.hpp"
#include "index.hpp"
#include "kernels/cpu.hpp"

namespace rewirl {
namespace {

class Blocks final : public Weights {
 public:
  explicit Blocks(const WeightsSpec& spec) : Weights(spec) {
    std::vector<uint32_t> order = sorted(spec);  // the position in the spec of the k-th value of the blocks
    index(spec, order);
    if (!trainable() && !std::is_sorted(order.begin(), order.end())) keep_order(order);
    for (size_t k = 0; k < order.size(); ++k) values[k] = spec.values[trainable() ? order[k] : k];
    changed();
    if (spec.order) *spec.order = trainable() ? std::move(order) : counted(spec.connections);
  }

  const char* format() const override { return "blocks"; }

  std::vector<int64_t> places() const override {
    std::vector<int64_t> result(connections());
    each_block([&](size_t block, size_t k, int32_t rows) {
      const int64_t first = static_cast<int64_t>(group_of_[block]) * height() * n_in() + column(block);
      for (int32_t r = 0; r < rows; ++r) result[position(block, k, r)] = first + static_cast<int64_t>(r) * n_in();
    });
    return result;
  }

  std::vector<uint32_t> row_major() const override {
    const std::vector<int64_t> all = places();
    const auto [row, column] = positions(all.data(), all.size(), n_in(), n_out());
    return sorted_by(row, n_out(), sorted_by(column, n_in(), counted(all.size())));
  }

  int64_t panel() const override { return height(); }

  void forward(const float* x, float* y, int vectors, const float* bias, Epilogue epilogue, Part part) const override {
    const bool relu = epilogue == Epilogue::relu;
    each_kind(groups(part.begin(n_out(), height())), groups(part.end(n_out(), height())),
              [&](const Kind& kind, int begin, int end) {
                kernels().block_forward(kind.matrix, in_order() + kind.value, x, y + kind.row * kLane * vectors,
                                        vectors, begin, end, bias ? bias + kind.row : nullptr, relu);
              });
  }

  void input_gradient(const float* dy, float* dx, int vectors, int32_t from, const float* gates,
                      Part part) const override {
    const int32_t begin = from + static_cast<int32_t>(part.begin(n_in() - from));
    const int32_t end = from + static_cast<int32_t>(part.end(n_in() - from));
    const ptrdiff_t width = ptrdiff_t{kLane} * vectors;
    const bool in_passing = connections() < 32 * static_cast<size_t>(n_in());
    for (auto c = std::lower_bound(empty_.begin(), empty_.end(), begin); c != empty_.end() && *c < end; ++c)
      std::fill_n(dx + (*c - from) * width, width, 0.0f);
    each_kind(0, groups(n_out()), [&](const Kind& kind, int, int) {
      kernels().block_input_gradient(
          kind.matrix, in_order() + kind.value, dy + kind.row * width, dx + (begin - from) * width, vectors, begin, end,
          gates ? gates + begin * width : nullptr, in_passing, kind.row + kind.matrix.groups * height() >= n_out());
    });
  }

  void weight_gradient(const float* dy, const float* x, float* gradient, int vectors, bool accumulate, float*,
                       Part part) const override {
    of_tiles(dy, {x, 0, 1, vectors}, gradient, accumulate, part);
  }

  bool whole_batch() const override { return true; }

  void batch_gradient(const float* dy, const Batch& x, float* gradient, Part part) const override {
    of_tiles(dy, x, gradient, false, part);
  }

  void stretches(Part part, const Visit& visit) const override {
    visit(value_of(groups(part.begin(n_out(), height()))), value_of(groups(part.end(n_out(), height()))));
  }

  void act(const float* x, float* y, const float* bias, bool relu) const override {
    each_kind(0, groups(n_out()), [&](const Kind& kind, int, int) {
      kernels().block_act(kind.matrix, in_order() + kind.value, x, y + kind.row, bias ? bias + kind.row : nullptr,
                          relu);
    });
  }

  void unit_rows() override {
    for (int group = 0; group < groups(n_out()); ++group) {
      const size_t rows = static_cast<size_t>(rows_of(group));
      float factor[kMaxHeight] = {};
      each_value(group, [&](float& w, size_t r) { factor[r] += w * w; });
      for (size_t r = 0; r < rows; ++r) factor[r] = factor[r] > 0.0f ? 1.0f / std::sqrt(factor[r]) : 1.0f;
      each_value(group, [&](float& w, size_t r) { w *= factor[r]; });
    }
  }

  // The values of a target, which keeps another order, are put into that of the blocks here.
  void changed() override {
    if (source_.size() > 0)
      for (size_t k = 0; k < ordered_.size(); ++k) ordered_[k] = values[source_[k]];
    else if (ordered_.size() > 0)
      each_height([&](size_t block, size_t count, size_t k, int32_t rows) {
        kernels().block_gather(count, rows, first_.data() + block, values.data(), ordered_.data() + k);
      });
  }

  // Blocks go by the mean of their magnitudes; as many as hold at most so many connections stay.
  void keep_largest(Cut& cut, size_t most) override {
    const size_t blocks = group_of_.size(), high = static_cast<size_t>(height());
    if (scores_.size() != blocks) scores_ = Buffer<float>(blocks);
    if (first_.size() != blocks) {
      if (source_.size() > 0) throw std::logic_error("a target of another order than its online layer");
      first_ = Buffer<uint32_t>(blocks);
      each_block([&](size_t block, size_t k, int32_t) { first_[block] = static_cast<uint32_t>(k); });
    }
    each_height([&](size_t block, size_t count, size_t, int32_t rows) {
      kernels().block_scores(count, rows, first_.data() + block, values.data(), scores_.data() + block);
    });
    size_t before = blocks + 1;
    while (true) {  // more than once only where blocks of the last group went, which are smaller
      size_t kept = 0, connected = 0;
      each_height([&](size_t block, size_t count, size_t, int32_t rows) {
        size_t alive = 0;
        for (size_t b = block; b < block + count; ++b) alive += scores_[b] != 0.0f;
        kept += alive;
        connected += alive * static_cast<size_t>(rows);
      });
      if (connected <= most) break;
      if (kept == before) return;  // weights that are not finite have no order
      before = kept;
      cut.keep_largest(blocks, scores_.data(), kept - (connected - most + high - 1) / high);
    }
    each_height([&](size_t block, size_t count, size_t, int32_t rows) {
      for (size_t b = block; b < block + count; ++b)
        if (scores_[b] == 0.0f) std::fill_n(values.data() + first_[b], rows, 0.0f);
    });
  }

 private:
  // The groups that are as high as the others, or the last one if it is not.
  struct Kind {
    BlockMatrix matrix;
    ptrdiff_t row;  // its first output
    size_t value;   // where its values begin
  };

  int groups(int64_t rows) const { return static_cast<int>((rows + height() - 1) / height()); }
  int whole_groups() const { return n_out() / height(); }
  int32_t rows_of(int group) const { return std::min(height(), n_out() - group * height()); }
  int32_t column(size_t block) const {
    return wide_column_.size() > 0 ? static_cast<int32_t>(wide_column_[block]) : column_[block];
  }
  size_t position(size_t block, size_t k, int32_t r) const {  // of the r-th value of a block, which begins at k
    const size_t row = static_cast<size_t>(r);
    return source_.size() > 0 ? source_[k + row] : ordered_.size() > 0 ? first_[block] + row : k + row;
  }
  const float* in_order() const { return ordered_.size() > 0 ? ordered_.data() : values.data(); }

  size_t value_of(int group) const {  // where the values of a group begin
    const size_t high = static_cast<size_t>(height()), whole = start_[static_cast<size_t>(whole_groups())];
    const size_t block = start_[static_cast<size_t>(group)];
    return group <= whole_groups() ? block * high
                                   : whole * high + (block - whole) * static_cast<size_t>(n_out() % height());
  }

  // Calls visit(value, output of the group) for the values of a group.
  template <class Visit>
  void each_value(int group, const Visit& visit) const {
    const size_t rows = static_cast<size_t>(rows_of(group));
    size_t k = value_of(group);
    for (size_t b = start_[static_cast<size_t>(group)]; b < start_[static_cast<size_t>(group) + 1]; ++b, k += rows)
      for (size_t r = 0; r < rows; ++r) visit(values[position(b, k, static_cast<int32_t>(r))], r);
  }

  // Calls visit(kind, begin, end) for the kinds that groups [begin, end) are of, with their numbers among them.
  template <class Visit>
  void each_kind(int begin, int end, const Visit& visit) const {
    const int whole = whole_groups(), all = groups(n_out());
    const auto kind = [&](int first, int count, int32_t rows) {
      const size_t block = start_[static_cast<size_t>(first)];
      const bool wide = wide_column_.size() > 0;
      return Kind{{n_in(), rows, count, start_.data() + first, wide ? nullptr : column_.data() + block,
                   wide ? wide_column_.data() + block : nullptr, edge_.data() + block},
                  static_cast<ptrdiff_t>(first) * height(),
                  value_of(first)};
    };
    if (begin < std::min(end, whole)) visit(kind(0, whole, height()), begin, std::min(end, whole));
    if (whole < all && end == all && begin < end) visit(kind(whole, 1, n_out() % height()), 0, 1);
  }

  // Calls visit(block, its first value, its rows) for every block.
  template <class Visit>
  void each_block(const Visit& visit) const {
    size_t k = 0;
    for (size_t block = 0; block < group_of_.size(); ++block) {
      const int32_t rows = rows_of(group_of_[block]);
      visit(block, k, rows);
      k += static_cast<size_t>(rows);
    }
  }

  // Calls visit(first block, blocks, first value, rows) for the blocks that are as high as the others, and for those of
  // the last group if it is not.
  template <class Visit>
  void each_height(const Visit& visit) const {
    const size_t whole = start_[static_cast<size_t>(whole_groups())], all = group_of_.size();
    if (whole > 0) visit(size_t{0}, whole, size_t{0}, height());
    if (whole < all) visit(whole, all - whole, whole * static_cast<size_t>(height()), n_out() % height());
  }

  void of_tiles(const float* dy, const Batch& x, float* gradient, bool accumulate, Part part) const {
    const ptrdiff_t width = x.width();
    each_kind(groups(part.begin(n_out(), height())), groups(part.end(n_out(), height())),
              [&](const Kind& kind, int begin, int end) {
                kernels().block_gradient(kind.matrix, dy + kind.row * width, n_out() * width, x.data, x.stride, x.tiles,
                                         x.vectors, gradient + kind.value, begin, end, accumulate);
              });
  }

  // Positions of the spec by group, input and output.
  std::vector<uint32_t> sorted(const WeightsSpec& spec) const {
    const auto [row, column] = positions(spec.places, spec.connections, n_in(), n_out());
    std::vector<int32_t> group = row;
    for (int32_t& g : group) g /= height();
    return sorted_by(group, groups(n_out()), sorted_by(column, n_in(), sorted_by(row, n_out(), counted(row.size()))));
  }

  // Makes the index of what is sorted; throws where blocks are not whole.
  void index(const WeightsSpec& spec, const std::vector<uint32_t>& order) {
    start_ = Buffer<uint32_t>(static_cast<size_t>(groups(n_out())) + 1);
    std::vector<uint32_t> columns;
    for (size_t k = 0; k < order.size();) {
      const int64_t first = spec.places[order[k]];
      const int32_t group = static_cast<int32_t>(first / n_in() / height());
      const int32_t rows = rows_of(group);
      for (int32_t r = 0; r < rows; ++r, ++k) {
        const int64_t expected = (static_cast<int64_t>(group) * height() + r) * n_in() + first % n_in();
        if (r > 0 && k < order.size() && spec.places[order[k]] == spec.places[order[k - 1]])
          throw std::invalid_argument("place " + std::to_string(spec.places[order[k]]) + " is given twice");
        if (k == order.size() || spec.places[order[k]] != expected)
          throw std::invalid_argument("connections come and go in whole blocks of " + std::to_string(rows) +
                                      " outputs: place " + std::to_string(expected) + " is missing beside others of " +
                                      "outputs " + std::to_string(group * height()) + " to " +
                                      std::to_string(group * height() + rows - 1) + " and input " +
                                      std::to_string(first % n_in()));
      }
      if (k < order.size() && spec.places[order[k]] == spec.places[order[k - 1]])
        throw std::invalid_argument("place " + std::to_string(spec.places[order[k]]) + " is given twice");
      group_of_.push_back(group);
      columns.push_back(static_cast<uint32_t>(first % n_in()));
      ++start_[static_cast<size_t>(group) + 1];
    }
    for (size_t g = 1; g < start_.size(); ++g) start_[g] += start_[g - 1];
    std::vector<uint32_t> last(static_cast<size_t>(n_in()), 0);  // block of every input, plus one
    edge_ = Buffer<uint8_t>(columns.size());
    for (size_t b = 0; b < columns.size(); ++b) {
      if (last[columns[b]] == 0) edge_[b] = 1;
      last[columns[b]] = static_cast<uint32_t>(b) + 1;
    }
    for (int32_t c = 0; c < n_in(); ++c) {
      const uint32_t block = last[static_cast<size_t>(c)];
      if (block == 0)
        empty_.push_back(c);
      else
        edge_[block - 1] |= 2;
    }
    if (n_in() > 1 << 16) {
      wide_column_ = Buffer<uint32_t>(columns.size());
      std::copy(columns.begin(), columns.end(), wide_column_.begin());
    } else {
      column_ = Buffer<uint16_t>(columns.size());
      for (size_t b = 0; b < columns.size(); ++b) column_[b] = static_cast<uint16_t>(columns[b]);
    }
  }

  // Values stay in the order they were given in, which is not that of the blocks; where they are in it.
  void keep_order(const std::vector<uint32_t>& order) {
    ordered_ = Buffer<float>(order.size());
    first_ = Buffer<uint32_t>(group_of_.size());
    bool whole = true;
    each_block([&](size_t block, size_t k, int32_t rows) {
      first_[block] = order[k];
      for (size_t r = 1; r < static_cast<size_t>(rows); ++r) whole = whole && order[k + r] == order[k] + r;
    });
    if (whole) return;
    source_ = Buffer<uint32_t>(order.size());
    std::copy(order.begin(), order.end(), source_.begin());
  }

  Buffer<uint32_t> start_;         // the first block of every group, and the end
  Buffer<uint16_t> column_;        // the input of every block; or
  Buffer<uint32_t> wide_column_;   // the same of more than 2^16 inputs
  Buffer<uint8_t> edge_;           // whether each is the first (bit 0) and the last (bit 1) of its input
  std::vector<int32_t> empty_;     // inputs without any, ascending
  std::vector<int32_t> group_of_;  // of every block
  // Of a target whose values are in another order than the blocks:
  Buffer<float> ordered_;    // the values in the order of the blocks
  Buffer<uint32_t> first_;   // where those of each block begin, side by side; or
  Buffer<uint32_t> source_;  // where each is
  Buffer<float> scores_;     // of blocks, for keep_largest()
};

}  // namespace

std::unique_ptr<Weights> make_blocks(const WeightsSpec& spec) { return std::make_unique<Blocks>(spec); }

}  // namespace rewirl
