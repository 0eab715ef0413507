// The arithmetic of sparse and dense layers on one tile of samples, as a table of functions per instruction set.
//
// A tile of activations is float[features][16 * vectors]: one row per feature, the samples side by side, so that one
// connection (one weight) serves all samples of the tile with `vectors` fused multiply-adds and no transpose is
// ever needed inside a network.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rewirl {

constexpr int kLane = 16;       // samples per unit of tile width: one AVX-512 vector
constexpr int kMaxVectors = 8;  // a tile holds at most 128 samples
constexpr int kPanel = 64;      // input features per panel of the dense gradient

constexpr int kPanelRows = 3;  // rows that share their inputs where connections are dense enough

// The positions of a sparse matrix, in the order of its values.
//
// Columns are cut into blocks, so that the columns of a block stay in the first-level cache while all rows use them,
// and rows into panels of 1 or kPanelRows. The positions of a (block, panel) are grouped by pattern, the set of the
// panel's rows in which a column has a connection (bit i: its row i): what a pattern's columns load serves all of its
// rows. Within a group positions are sorted by column, then row; `column`, relative to its block, is given for each.
// start has an entry for each (block, panel, pattern 1, 2, ...) and the end. A panel of one row has one pattern: sorted
// by (block, row, column).
struct SparseMatrix {
  int32_t rows, columns, block, blocks, panel;
  const uint32_t* start;
  const uint16_t* column;
  const uint32_t* source;  // where the value of a position is, if not in the order of positions; else null
  int32_t panels() const { return (rows + panel - 1) / panel; }
  int32_t patterns() const { return (1 << panel) - 1; }
};

constexpr int kMaxHeight = 8;  // outputs of a block

// A matrix whose smallest unit is a block: `height` outputs, one after the other, that share an input. Groups of so
// many rows have their blocks one after the other, sorted by input; block k has its values at k * height. start has the
// first block of each group and the end; blocks, and with them values and columns, are counted from start[0].
struct BlockMatrix {
  int32_t columns, height, groups;
  const uint32_t* start;
  const uint16_t* column;       // the input of each block; or null
  const uint32_t* wide_column;  // the same where there are more than 2^16 inputs; else null
  const uint8_t* edge;          // whether each block is the first (bit 0) and the last (bit 1) of its input
};

// The same without blocks or panels: values row by row, and of each row the columns as bits, 16 in a word, the lowest
// first.
struct MaskedRows {
  int32_t rows, columns;
  const uint32_t* start;  // of every row, and the end
  const uint16_t* mask;   // [rows][words()]
  size_t words() const { return (static_cast<size_t>(columns) + 15) / 16; }
};

enum class Epilogue { none, relu, gate };  // gate: 0 where gate <= 0 (the derivative of ReLU)

struct AdamStep {
  float step_size;        // learning rate / (1 - beta1^t)
  float inverse_root_c2;  // 1 / sqrt(1 - beta2^t)
  float beta1, beta2, epsilon, weight_decay;
};

struct Small {
  size_t found, below, zeros;  // how many indices were written, and how many w have 0 < |w| < low, or are 0
};

// A tile for layer norm; scale and shift are null where there are none.
struct LayerNormTile {
  int features, vectors;
  float epsilon;
  const float *scale, *shift;
};

// A feature in all tiles of a batch, which lie a stride apart: of the columns of tile t, samples[t] are samples.
struct BatchRow {
  int tiles, vectors;
  const int32_t* samples;
  int64_t total;  // of the samples
};

struct RowLine {
  float mean, slope, offset;  // (x - mean) * slope + offset
};

struct Kernels {
  const char* name;

  // The widest tiles that pay, in samples. With AVX2 they are those whose sums for a row the registers hold.
  int widest;

  // Rows of a panel that pay where connections are dense enough. With 16 registers a panel takes several passes over a
  // tile, and the ends of its many short groups, which no processor predicts, cost more than its rows share.
  int panel_rows;

  // y[r - row_begin] = epilogue(bias[r] + sum_k a[r, k] x[k]) for rows in [row_begin, row_end); bias may be null
  // (zero).
  void (*spmm)(const SparseMatrix& a, const float* values, const float* x, float* y, int vectors, int row_begin,
               int row_end, const float* bias, Epilogue epilogue, const float* gate);

  // gradient[k] (+)= dy[row(k)] . x[column(k)] over the tile, for every connection k of rows [row_begin, row_end),
  // which starts and ends with a panel.
  void (*sddmm)(const SparseMatrix& a, const float* dy, const float* x, float* gradient, int vectors, int row_begin,
                int row_end, bool accumulate);

  // y[i] = epilogue(bias[i] + sum_k a[i * row_stride + k * k_stride] x[k]), i < rows, k < depth.
  void (*gemm)(int rows, int depth, const float* a, ptrdiff_t row_stride, ptrdiff_t k_stride, const float* x, float* y,
               int vectors, const float* bias, Epilogue epilogue, const float* gate);

  // gradient[r * n_in + c] (+)= dy[r] . x[c] over the tile, for columns c in [column_begin, column_end), the first of
  // them a multiple of kPanel; scratch holds ceil(n_in / kPanel) * kPanel * 16 * vectors floats.
  void (*dense_gradient)(int n_out, int n_in, const float* dy, const float* x, float* gradient, int vectors,
                         int column_begin, int column_end, bool accumulate, float* scratch);

  // out[r] (+)= sum over the tile of dy[r].
  void (*row_sums)(int rows, const float* dy, float* out, int vectors, bool accumulate);

  void (*adam)(size_t n, float* w, const float* g, float* m, float* v, const AdamStep& step);

  // The same with the bias correction of each weight by its own age, steps - born[i]: step_size[age],
  // inverse_root_c2[age], and the last entries of these tables for all older ones.
  void (*adam_by_age)(size_t n, float* w, const float* g, float* m, float* v, const AdamStep& step,
                      const uint32_t* born, uint32_t steps, const float* step_size, const float* inverse_root_c2,
                      uint32_t entries);

  // target += tau * (online - target), written as tau * online + (1 - tau) * target; online may be null (zero).
  void (*interpolate)(size_t n, float* target, const float* online, float tau);

  // out[i] = clip(tanh(x[i]) + clip(scale * noise[i], -bound, bound), -1, 1); noise may be null (zero). n is a multiple
  // of kLane.
  void (*squash)(size_t n, const float* x, const float* noise, float scale, float bound, float* out);

  // Samples u = mean + exp(log_std) * noise, with log_std held within [-20, 2]: squashed = tanh(u), and the logarithm
  // of its probability density is added to log_probability. n is a multiple of kLane, here and below.
  void (*squashed_gaussian)(size_t n, const float* mean, const float* log_std, const float* noise, float* squashed,
                            float* log_probability);

  // Gradients of mean and log_std, given those of what squashed_gaussian wrote.
  void (*squashed_gaussian_gradient)(size_t n, const float* log_std, const float* noise, const float* squashed,
                                     const float* d_squashed, const float* d_log_probability, float* d_mean,
                                     float* d_log_std);

  // Independent standard normal numbers from uniform bits; n is a multiple of 32.
  void (*normals)(size_t n, const uint32_t* bits, float* out);

  // y[r] = epilogue(bias[r] + a[r] . x) for a single sample; relu or none; panels of one row.
  void (*spmv)(const SparseMatrix& a, const float* values, const float* x, float* y, const float* bias, bool relu);
  void (*gemv)(int rows, int columns, const float* a, const float* x, float* y, const float* bias, bool relu);

  // The products in blocks. y and dy are of the first group and dx and gates of column_begin on.

  // Of groups [group_begin, group_end): y[r] = bias[r] + sum_k a[r, k] x[k], then ReLU if asked for.
  void (*block_forward)(const BlockMatrix& a, const float* values, const float* x, float* y, int vectors,
                        int group_begin, int group_end, const float* bias, bool relu);

  // dx[c] = sum_r a[r, c] dy[r] for columns [column_begin, column_end) that have blocks, and 0 where the gates, if
  // there are any, are not positive. A matrix of several parts takes a call for each, in the order that `edge` has them
  // in.
  void (*block_input_gradient)(const BlockMatrix& a, const float* values, const float* dy, float* dx, int vectors,
                               int32_t column_begin, int32_t column_end, const float* gates, bool in_passing,
                               bool last);

  // gradient[k] (+)= dy[row(k)] . x[column(k)] over all tiles of a batch, which lie so many numbers apart, for groups
  // [group_begin, group_end).
  void (*block_gradient)(const BlockMatrix& a, const float* dy, ptrdiff_t dy_stride, const float* x, ptrdiff_t x_stride,
                         int tiles, int vectors, float* gradient, int group_begin, int group_end, bool accumulate);

  void (*block_act)(const BlockMatrix& a, const float* values, const float* x, float* y, const float* bias, bool relu);

  // scores[b] = the mean magnitude of values[first[b]], ..., values[first[b] + height - 1].
  void (*block_scores)(size_t blocks, int height, const uint32_t* first, const float* values, float* scores);

  // Puts these values one after the other.
  void (*block_gather)(size_t blocks, int height, const uint32_t* first, const float* values, float* out);

  // y = scale * (x - mean) * inverse + shift with mean and 1 / sqrt(variance + epsilon) of every sample over its
  // features, which are written too; then ReLU if asked for.
  void (*layer_norm)(const LayerNormTile& t, const float* x, float* y, float* mean, float* inverse, bool relu);
  // Given dy: dx, and the gradients of scale and shift.
  void (*layer_norm_gradient)(const LayerNormTile& t, const float* x, const float* dy, const float* mean,
                              const float* inverse, float* dx, bool accumulate);
  void (*layer_norm_parameters)(const LayerNormTile& t, const float* x, const float* dy, const float* mean,
                                const float* inverse, float* d_scale, float* d_shift, bool accumulate);

  // Mean and (biased) variance of the samples of a feature.
  void (*row_moments)(const BatchRow& row, const float* x, ptrdiff_t stride, float* mean, float* variance);
  // y = (x - mean) * slope + offset, then ReLU if asked for; of padding too.
  void (*row_line)(const BatchRow& row, const float* x, ptrdiff_t x_stride, float* y, ptrdiff_t y_stride,
                   const RowLine& line, bool relu);
  // The sums over the samples of dy and of dy * (x - mean).
  void (*row_products)(const BatchRow& row, const float* x, ptrdiff_t x_stride, const float* dy, ptrdiff_t dy_stride,
                       float mean, float* sum, float* product);
  // dx (+)= factor * dy + offset + (x - mean) * slope, and 0 for padding; dx lies as dy does.
  void (*row_gradient)(const BatchRow& row, const float* x, ptrdiff_t x_stride, const float* dy, ptrdiff_t dy_stride,
                       float* dx, const RowLine& line, float factor, bool accumulate);

  // Divides each row of a matrix by its Euclidean norm, if that is not 0.
  void (*unit_rows)(int rows, int columns, float* w);

  // probability = softmax over the rows of a tile of logits; mean[s] = sum of probability[r][s] * (low + r * step).
  void (*categorical)(int rows, int vectors, const float* logits, float low, float step, float* probability,
                      float* mean);

  // Writes the indices of all w with low <= |w| <= high but not 0, ascending, to index (room for n + 16).
  Small (*small)(size_t n, const float* w, float low, float high, uint32_t* index);

  // w = 0 where |w| < limit.
  void (*cut)(size_t n, float* w, float limit);

  // Of a single sample, for a dense matrix and for rows with masks: dx += a^T dy; and z = decay * z + dy x^T at its
  // places, returning the sum of |z|. masked_gemv is gemv.
  void (*gemv_transposed)(int rows, int columns, const float* a, const float* dy, float* dx);
  float (*trace)(int rows, int columns, const float* dy, const float* x, float decay, float* z);
  void (*masked_gemv)(const MaskedRows& a, const float* values, const float* x, float* y, const float* bias, bool relu);
  void (*masked_transposed)(const MaskedRows& a, const float* values, const float* dy, float* dx);
  float (*masked_trace)(const MaskedRows& a, const float* dy, const float* x, float decay, float* z);

  // w += scale * z.
  void (*add_scaled)(size_t n, float scale, const float* z, float* w);
};

const Kernels& kernels_portable();
#if defined(__x86_64__)
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();
#endif

}  // namespace rewirl
