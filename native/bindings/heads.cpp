// What is made of outputs: plain functions of tiles.
#include "heads.hpp"

#include "bindings/arguments.hpp"

namespace rewirl {
namespace {

void require_same(const Tiles& x, const Tiles& like, const char* what) {
  require_slice(x);
  REQUIRE(x.shape(0) == like.shape(0) && x.shape(1) == like.shape(1) && x.shape(2) == like.shape(2),
          std::string(what) + " must have the shape " + shape_text(like) + ", got " + shape_text(x));
}

// Checks the parameters of a squashed Gaussian, mean and log_std, and samples of it; returns the features of these.
size_t require_gaussian(const Tiles& raw, const Tiles& squashed) {
  require_slice(raw);
  require_slice(squashed);
  REQUIRE(raw.shape(1) % 2 == 0 && raw.shape(1) > 0,
          "mean and log_std need an even number of outputs, got " + std::to_string(raw.shape(1)));
  REQUIRE(
      squashed.shape(0) == raw.shape(0) && 2 * squashed.shape(1) == raw.shape(1) && squashed.shape(2) == raw.shape(2),
      "samples must have half the features of mean and log_std, got " + shape_text(squashed) + " for " +
          shape_text(raw));
  return squashed.shape(1);
}

// A number for every sample of distributions over bins.
void require_of_bins(const Tiles& x, const Tiles& distributions, const char* what) {
  require_slice(x);
  REQUIRE(
      x.shape(0) == distributions.shape(0) && x.shape(1) == 1 && x.shape(2) == distributions.shape(2),
      std::string(what) + " must be one for each sample of " + shape_text(distributions) + ", got " + shape_text(x));
}

void require_contiguous(const Tiles& x, const Tiles& like, size_t features, const char* what) {
  require_tiles(x, static_cast<int>(like.shape(0)), features, static_cast<int>(like.shape(2)) / kLane, what);
}

}  // namespace

void bind_heads(nb::module_& m) {
  m.def(
      "squash",
      [](const Tiles& raw, const WritableTiles& out, const std::optional<nb::object>& bit_generator, float scale,
         float bound) {
        require_slice(raw);
        require_same(Tiles(out), raw, "the array to write to");
        const FlushSubnormals flush;
        squash(tiles_of(raw), bit_generator ? &bits_of(*bit_generator) : nullptr, scale, bound, tiles_of(out));
      },
      "raw"_a, "out"_a.noconvert(), "bit_generator"_a = nb::none(), "scale"_a = 1.0f, "bound"_a = 1.0f,
      "out = clip(tanh(raw) + clip(scale * normal(...), -bound, bound), -1, 1), without noise if there is no "
      "generator.");

  m.def(
      "squash_gradient",
      [](const Tiles& squashed, const WritableTiles& gradient) {
        require_slice(squashed);
        require_same(Tiles(gradient), squashed, "the gradient");
        squash_gradient(tiles_of(squashed), tiles_of(gradient));
      },
      "squashed"_a, "gradient"_a.noconvert(), "gradient *= 1 - squashed^2, the derivative of tanh.");

  m.def(
      "minimum",
      [](const std::vector<Tiles>& outputs, float factor, const Tiles& scale, const Tiles& offset,
         const WritableTiles& out) {
        REQUIRE(!outputs.empty(), "an output is needed");
        require_slice(Tiles(out));
        std::vector<ConstTiles> all;
        for (const Tiles& output : outputs) {
          require_same(output, Tiles(out), "an output");
          all.push_back(tiles_of(output));
        }
        require_same(scale, Tiles(out), "scale");
        require_same(offset, Tiles(out), "offset");
        const FlushSubnormals flush;
        minimum(all, factor, tiles_of(scale), tiles_of(offset), tiles_of(out));
      },
      "outputs"_a, "factor"_a, "scale"_a, "offset"_a, "out"_a.noconvert(),
      "out = offset + factor * scale * (the least of the outputs).");

  m.def(
      "categorical",
      [](const Tiles& logits, float low, float step, const WritableTiles& probability, const WritableTiles& mean) {
        require_slice(logits);
        REQUIRE(logits.shape(1) > 0, "there must be a bin at least; got " + shape_text(logits));
        require_same(Tiles(probability), logits, "the probabilities");
        require_of_bins(Tiles(mean), logits, "the means");
        const FlushSubnormals flush;
        categorical(tiles_of(logits), low, step, tiles_of(probability), tiles_of(mean));
      },
      "logits"_a, "low"_a, "step"_a, "probability"_a.noconvert(), "mean"_a.noconvert(),
      "probability = softmax(logits), mean = the sum of probability * (low, low + step, ...).");

  m.def(
      "project_categorical",
      [](const Tiles& probability, float low, float step, const Tiles& offset, const Tiles& scale,
         const WritableTiles& out) {
        require_slice(probability);
        require_same(Tiles(out), probability, "the array to write to");
        require_of_bins(offset, probability, "the offsets");
        require_of_bins(scale, probability, "the factors");
        REQUIRE(step > 0, "the bins must ascend");
        const FlushSubnormals flush;
        project_categorical(tiles_of(probability), low, step, tiles_of(offset), tiles_of(scale), tiles_of(out));
      },
      "probability"_a, "low"_a, "step"_a, "offset"_a, "scale"_a, "out"_a.noconvert(),
      "The distribution of offset + scale * (low, low + step, ...), over the same bins.");

  m.def(
      "sample_squashed_gaussian",
      [](const Tiles& raw, const WritableTiles& out, const WritableTiles& noise, const WritableTiles& log_probability,
         const nb::object& bit_generator) {
        const size_t features = require_gaussian(raw, Tiles(out));
        require_contiguous(Tiles(noise), raw, features, "the noise");
        require_contiguous(Tiles(log_probability), raw, 1, "the logarithm of the probability");
        const FlushSubnormals flush;
        sample_squashed_gaussian(tiles_of(raw), bits_of(bit_generator), tiles_of(out), tiles_of(noise),
                                 tiles_of(log_probability));
      },
      "raw"_a, "out"_a.noconvert(), "noise"_a.noconvert(), "log_probability"_a.noconvert(), "bit_generator"_a,
      "out = tanh(mean + exp(log_std) * noise), with mean and log_std the halves of raw.");

  m.def(
      "squashed_gaussian_gradient",
      [](const Tiles& raw, const Tiles& squashed, const Tiles& noise, const Tiles& d_squashed,
         const Tiles& d_log_probability, const WritableTiles& out) {
        const size_t features = require_gaussian(raw, squashed);
        require_gaussian(raw, d_squashed);
        require_contiguous(noise, raw, features, "the noise");
        require_contiguous(d_log_probability, raw, 1, "the gradient of the logarithm of the probability");
        require_contiguous(Tiles(out), raw, 2 * features, "the array to write to");
        const FlushSubnormals flush;
        squashed_gaussian_gradient(tiles_of(raw), tiles_of(squashed), tiles_of(noise), tiles_of(d_squashed),
                                   tiles_of(d_log_probability), tiles_of(out));
      },
      "raw"_a, "squashed"_a, "noise"_a, "d_squashed"_a, "d_log_probability"_a, "out"_a.noconvert(),
      "The gradient of raw, given those of what sample_squashed_gaussian wrote.");
}

}  // namespace rewirl
