#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/kinds/lora.hpp"
#include "graft/core/mode.hpp"

namespace graft {

namespace detail {
class DoraNorms;
}

class DoraAdapter;

/// LoRA's options for DoRA: DoraOptions({.rank = 8}). No bias on B, no start from the weight.
struct DoraOptions : LoraOptions {
  using Adapter = DoraAdapter;

  DoraOptions(const LoraOptions& options = {}) : LoraOptions(options) {}
};

/// DoRA: the updated weight has rows of trained lengths m,
///
///   y = (m / n) (W x + s B A dropout(x)) + bias,   n the lengths of the rows of W + s B A
///
/// m [out], A and B are trained; n counts as a constant in backward, as the paper and PEFT have it. B A is never made:
/// n comes from W A^T and A A^T, and is kept while nothing of it changes. m starts at n, so that a fresh adapter
/// changes nothing. For layer types that say where their outputs lie and whose update, output by output, is B A:
/// Linear, Embedding (a length for each dimension), Conv1d and Conv2d. In training with dropout PEFT also drops inputs
/// of (m / n - 1) W x; here W sees all of x, which has the same mean and saves a product with W.
/// Source: Liu et al., DoRA, arXiv:2402.09353, section 4.
class DoraAdapter : public LowRankAdapter {
 public:
  DoraAdapter(const LoraOptions& options, torch::Tensor A, torch::Tensor B, torch::Tensor magnitude);

  static std::vector<std::string> faults(const Adaptable& layer, const DoraOptions& options, std::string_view where);
  static std::shared_ptr<DoraAdapter> make(const Adaptable& layer, const DoraOptions& options);
  static const AdapterKind& in_files();

  GRAFT_INLINE torch::Tensor output(Adaptable& layer, const torch::Tensor& x) const override;
  std::optional<FusedUpdate> fused() const override { return std::nullopt; }
  GRAFT_INLINE torch::Tensor folded(const Adaptable& layer, const torch::Tensor& weight, double share) const override;
  const AdapterKind* kind() const override { return &in_files(); }

  torch::Tensor lora_magnitude_vector;  ///< one length for each output of the layer, shaped as in PEFT's files

 protected:
  GRAFT_INLINE std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override;

 private:
  /// m / n [out].
  torch::Tensor stretch(const Adaptable& layer) const;
  torch::Tensor row_lengths(const Adaptable& layer) const;

  const std::shared_ptr<detail::DoraNorms> norms_;
};

/// Holder of a frozen layer with one adapter of DoRA; see Adapted.
template <class Layer>
using Dora = Adapted<Layer, DoraOptions>;

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/kinds/dora-inl.hpp"
#endif
