#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// How a next token is chosen. As it stands, the likeliest one is taken.
struct SamplingOptions {
  double temperature = 0.0;  ///< logits are divided by it; 0 takes the likeliest token and leaves what follows out
  std::int64_t top_k = 0;    ///< of the k likeliest tokens only, and what ties with them; 0: of all
  double top_p = 1.0;        ///< of the likeliest tokens that together reach this share, in (0, 1]
  double min_p = 0.0;        ///< of tokens at least so likely as this share, in [0, 1], of the likeliest
  double repetition_penalty = 1.0;  ///< above 0; above 1 makes tokens that the text has already less likely
  std::uint64_t seed = 0;           ///< equal seeds and logits give equal tokens, on every machine

  /// Throws OptionError, every fault at once, if a value leaves its range.
  void check() const;
};

// What SamplingOptions asks for, one at a time, on the logits [V] of one text. A token that is not to be chosen gets
// minus infinity; one is always left. Order and arithmetic of transformers.

/// Logits of tokens in `text`, each once: divided by `penalty` above zero, multiplied below. Ids outside [0, V) throw
/// OptionError. Source: Keskar et al., CTRL, arXiv:1909.05858, section 4.1.
void penalise_repetition(std::span<float> logits, std::span<const std::int32_t> text, double penalty);

void keep_top_k(std::span<float> logits, std::int64_t k);

/// Source: Holtzman et al., The curious case of neural text degeneration, arXiv:1904.09751, section 3.1.
void keep_top_p(std::span<float> logits, double share);

/// Source: Nguyen et al., Turning up the heat: min-p sampling, arXiv:2407.01082.
void keep_min_p(std::span<float> logits, double share);

/// The largest logit's token, the first of equal ones.
std::int32_t likeliest(std::span<const float> logits);

/// The chance of each token [V] to be chosen after `text` (ids of prompt and answer so far), above temperature 0:
/// repetition penalty, temperature, top k, top p, min p, softmax, in this order. `logits` [V] are changed on the way.
std::vector<double> chances(std::span<float> logits, std::span<const std::int32_t> text,
                            const SamplingOptions& options);

/// Chooses the tokens of one text, one after another.
class TokenSampler {
 public:
  /// Texts of one seed and different `stream` draw independently. Throws OptionError as options.check() does.
  explicit TokenSampler(const SamplingOptions& options, std::uint64_t stream = 0);

  /// The next token after `text`, drawn by chances(); at temperature 0 the likeliest behind the repetition penalty.
  /// `logits` [V] are changed on the way. Throws OptionError if one is not a number or plus infinity, or none is above
  /// minus infinity.
  std::int32_t choose(std::span<float> logits, std::span<const std::int32_t> text);

 private:
  SamplingOptions options_;
  std::mt19937_64 generator_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/sampling-inl.hpp"
#endif
