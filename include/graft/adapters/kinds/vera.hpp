#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graft/adapters/layer_adapter.hpp"
#include "graft/core/mode.hpp"

namespace graft {

class VeraAdapter;
class VeraProjections;
template <class Options>
struct LayerOptions;

/// Sizes and start of VeRA: VeraOptions{.rank = 256}. One for all layers that are attached together.
struct VeraOptions {
  using Adapter = VeraAdapter;

  std::int64_t rank = 256;               ///< r, which may be more than the layer's own; PEFT's default
  double dropout = 0.0;                  ///< chance in [0, 1) that an input of A is zeroed in training
  double d_initial = 0.1;                ///< d at the start; finite
  std::int64_t projection_prng_key = 0;  ///< seed of A and B, which are then those of PEFT
  bool save_projection = true;           ///< whether files hold A and B, or the key alone
  /// A and B; null: drawn, as large as the largest of the layers that are attached together.
  std::shared_ptr<const VeraProjections> projections = nullptr;
};

/// VeRA: y = layer(x) + b * ((d * (dropout(x) A^T)) B^T), of which b [out] and d [r] are trained.
///
/// A [r, in] and B [out, r] are random and frozen, and one pair serves all layers: each takes the first columns of A
/// and rows of B that it needs. b starts at zero: a fresh adapter changes nothing. For linear layers. Copies of a layer
/// share A and B. Source: Kopiczko et al., VeRA, arXiv:2310.11454, section 3.1; start and draws as PEFT has them.
class VeraAdapter : public LayerAdapter {
 public:
  /// `options` with projections that are large enough; b [out] and d [r].
  VeraAdapter(VeraOptions options, torch::Tensor b, torch::Tensor d);

  static std::vector<std::string> faults(const Adaptable& layer, const VeraOptions& options, std::string_view where);
  static std::shared_ptr<VeraAdapter> make(const Adaptable& layer, const VeraOptions& options);
  static void settle(std::vector<LayerOptions<VeraOptions>>& layers);
  static const AdapterKind& in_files();

  GRAFT_INLINE torch::Tensor output(Adaptable& layer, const torch::Tensor& x) const override;
  GRAFT_INLINE torch::Tensor folded(const Adaptable& layer, const torch::Tensor& weight, double share) const override;
  const AdapterKind* kind() const override { return &in_files(); }

  const VeraOptions options;
  torch::Tensor vera_lambda_b;  ///< b
  torch::Tensor vera_lambda_d;  ///< d

 protected:
  std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override {
    return std::make_shared<VeraAdapter>(options, moved(vera_lambda_b), moved(vera_lambda_d));
  }
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/kinds/vera-inl.hpp"
#endif
