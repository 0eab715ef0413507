// The table of the kernels, compiled once per instruction set (REWIRL_AVX512, REWIRL_AVX2 or neither). All loops are
// static templates over vec.hpp's Vec; no standard header with inline functions is used, so nothing compiled for one
// set leaks to another.
#include "kernels/kernels.hpp"

#include "kernels/block_vectors.hpp"
#include "kernels/dense.hpp"
#include "kernels/functions.hpp"
#include "kernels/norms.hpp"
#include "kernels/optimiser.hpp"
#include "kernels/sparse.hpp"
#include "kernels/stream.hpp"

namespace rewirl {

#if defined(REWIRL_AVX512)
#define REWIRL_TABLE kernels_avx512
#define REWIRL_NAME "avx512"
#elif defined(REWIRL_AVX2)
#define REWIRL_TABLE kernels_avx2
#define REWIRL_NAME "avx2"
#else
#define REWIRL_TABLE kernels_portable
#define REWIRL_NAME "portable"
#endif

const Kernels& REWIRL_TABLE() {
  static constexpr Kernels table{REWIRL_NAME,
                                 kWidest,
                                 kRowsOfPanel,
                                 spmm,
                                 sddmm,
                                 gemm,
                                 dense_gradient,
                                 row_sums,
                                 adam,
                                 adam_by_age,
                                 interpolate,
                                 squash,
                                 squashed_gaussian,
                                 squashed_gaussian_gradient,
                                 normals,
                                 spmv,
                                 gemv,
                                 block_forward,
                                 block_input_gradient,
                                 block_gradient,
                                 block_act,
                                 block_scores,
                                 block_gather,
                                 layer_norm,
                                 layer_norm_gradient,
                                 layer_norm_parameters,
                                 row_moments,
                                 row_line,
                                 row_products,
                                 row_gradient,
                                 unit_rows,
                                 categorical,
                                 small,
                                 cut,
                                 gemv_transposed,
                                 trace,
                                 masked_gemv,
                                 masked_transposed,
                                 masked_trace,
                                 add_scaled};
  return table;
}

}  // namespace rewirl
