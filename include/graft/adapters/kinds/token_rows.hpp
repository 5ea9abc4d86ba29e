#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/adapters/layer_adapter.hpp"
#include "graft/core/mode.hpp"

namespace graft {

class TokenRowsAdapter;

/// The rows of an embedding that are trained, each once.
struct TokenRowsOptions {
  using Adapter = TokenRowsAdapter;

  std::vector<std::int64_t> tokens = {};
};

/// Rows of an embedding that take the place of its own and start as these: y[i] = row of ids[i] if that is trained,
/// else the embedding's. PEFT calls it trainable_token_indices. Chosen alone in its layer.
class TokenRowsAdapter : public LayerAdapter {
 public:
  /// `tokens`, each once, and the rows' values [tokens, dim].
  TokenRowsAdapter(std::vector<std::int64_t> tokens, torch::Tensor values)
      : tokens(std::move(tokens)),
        trainable_tokens_delta(register_parameter("trainable_tokens_delta", std::move(values))) {}

  static std::vector<std::string> faults(const Adaptable& layer, const TokenRowsOptions& options,
                                         std::string_view where);
  static std::shared_ptr<TokenRowsAdapter> make(const Adaptable& layer, const TokenRowsOptions& options);
  static const AdapterKind& in_files();

  GRAFT_INLINE torch::Tensor output(Adaptable& layer, const torch::Tensor& ids) const override;
  GRAFT_INLINE torch::Tensor folded(const Adaptable& layer, const torch::Tensor& weight, double share) const override;
  GRAFT_INLINE torch::Tensor tied_output(const torch::Tensor& x, const torch::Tensor& y) const override;
  bool ties() const override { return true; }
  bool sums() const override { return false; }
  const AdapterKind* kind() const override { return &in_files(); }

  const std::vector<std::int64_t> tokens;
  torch::Tensor trainable_tokens_delta;  ///< [tokens, dim]: the rows themselves, under the name that PEFT gives them

 protected:
  std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override {
    return std::make_shared<TokenRowsAdapter>(tokens, moved(trainable_tokens_delta));
  }
};

/// Trains these rows of one embedding, such as those of new tokens, as part of the adapter called `name`, which other
/// layers may have already; the embedding itself is frozen. `embedding` is its path, or the end of it after a dot.
/// Attach the adapter's other layers first: attach() freezes all that is there.
/// An output layer that shares the embedding's weight has these rows too, as in PEFT.
/// Throws OptionError if no layer or more than one has the name, for no row, one outside the table, another layer type,
/// and as Adaptable::add() does.
void train_token_rows(torch::nn::Module& module, const std::string& embedding, std::vector<std::int64_t> tokens,
                      const std::string& name = "default");

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/kinds/token_rows-inl.hpp"
#endif
