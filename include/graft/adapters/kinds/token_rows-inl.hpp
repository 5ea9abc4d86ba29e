#pragma once

#include <algorithm>
#include <set>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/kinds/token_rows.hpp"
#include "graft/adapters/peft/kind.hpp"
#include "graft/core/error.hpp"
#include "graft/io/peft_names.hpp"

namespace graft {

GRAFT_INLINE torch::Tensor TokenRowsAdapter::output(Adaptable& layer, const torch::Tensor& ids) const {
  const auto [sorted, order] = torch::tensor(tokens, torch::kLong).to(ids.device()).sort();
  const torch::Tensor flat = ids.flatten().to(torch::kLong);
  const torch::Tensor place = torch::searchsorted(sorted, flat).clamp_max(sorted.size(0) - 1);
  const torch::Tensor own = (sorted.index_select(0, place) == flat).view(ids.sizes()).unsqueeze(-1);
  const torch::Tensor y = layer.plain(ids);
  const torch::Tensor values = trainable_tokens_delta.index_select(0, order.index_select(0, place)).view(y.sizes());
  return torch::where(own, values.to(y.scalar_type()), y);
}

GRAFT_INLINE torch::Tensor TokenRowsAdapter::folded(const Adaptable&, const torch::Tensor& weight, double) const {
  const torch::Tensor rows = torch::tensor(tokens, torch::kLong).to(weight.device());
  return weight.index_copy(0, rows, trainable_tokens_delta.to(weight.scalar_type()));
}

GRAFT_INLINE torch::Tensor TokenRowsAdapter::tied_output(const torch::Tensor& x, const torch::Tensor& y) const {
  const torch::Tensor rows = torch::tensor(tokens, torch::kLong).to(y.device());
  return y.index_copy(-1, rows, torch::linear(x, trainable_tokens_delta.to(x.scalar_type())).to(y.scalar_type()));
}

GRAFT_INLINE std::vector<std::string> TokenRowsAdapter::faults(const Adaptable& layer, const TokenRowsOptions& options,
                                                               std::string_view where) {
  if (!layer.layer_type().looks_up_rows) return {message(where, " is no embedding and has no rows of tokens")};
  std::vector<std::string> faults;
  if (options.tokens.empty()) faults.push_back(message("no token is given for ", where, "; name the rows to train"));
  const std::int64_t rows = layer.main_weight().size(0);
  std::set<std::int64_t> seen;
  for (const std::int64_t token : options.tokens) {
    if (token < 0 || token >= rows)
      faults.push_back(message("token ", token, " is not among the ", rows, " of ", where));
    if (!seen.insert(token).second) faults.push_back(message("token ", token, " of ", where, " comes twice"));
  }
  return faults;
}

GRAFT_INLINE std::shared_ptr<TokenRowsAdapter> TokenRowsAdapter::make(const Adaptable& layer,
                                                                      const TokenRowsOptions& options) {
  const torch::Tensor weight = layer.main_weight().detach();
  const torch::Tensor rows = weight.index_select(0, torch::tensor(options.tokens, torch::kLong).to(weight.device()));
  return std::make_shared<TokenRowsAdapter>(options.tokens, rows.to(layer.factor_options()));
}

GRAFT_INLINE void train_token_rows(torch::nn::Module& module, const std::string& embedding,
                                   std::vector<std::int64_t> tokens, const std::string& name) {
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  Adaptable* found = nullptr;
  std::string where;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (!matches_suffix(path, embedding)) continue;
    if (found) {
      throw OptionError(
          message(quoted(embedding), " names both ", quoted(where), " and ", quoted(path), "; give more of the path"));
    }
    found = layer;
    where = path;
  }
  if (!found) throw OptionError(message("no layer that takes an adapter is called ", quoted(embedding)));
  const TokenRowsOptions options{std::move(tokens)};
  const std::vector<std::string> faults = found->faults(name, options, "layer " + quoted(where));
  if (!faults.empty()) throw OptionError(joined(faults, "; "));
  found->add(name, options);
}

namespace detail {

/// In LoRA's files, beside other layers.
class TokenRowsFiles : public AdapterKind {
 public:
  std::string peft_type() const override { return "LORA"; }
  std::string title() const override { return "trained token rows"; }
  bool beside() const override { return true; }
  bool in(const AdapterConfig& config) const override {
    return AdapterKind::in(config) && !config.trainable_token_indices.empty();
  }

  void write(AdapterWriter& out) const override {
    for (const AdaptedLayer& one : out.layers) {
      const auto& adapter = static_cast<const TokenRowsAdapter&>(*one.adapter);
      out.put(one, peft_names::token_rows, adapter.trainable_tokens_delta);
      out.config.trainable_token_indices[one.path] = adapter.tokens;
    }
  }

  void read(AdapterReader& in) const override {
    for (const auto& [name, tokens] : in.config().trainable_token_indices) {
      bool any = false;
      for (const LayerReader& at : in.layers()) {
        if (!at.layer().layer_type().looks_up_rows) continue;
        if (name.empty() ? any : !matches_suffix(at.path(), name)) continue;
        any = true;
        for (std::string& fault : TokenRowsAdapter::faults(at.layer(), {tokens}, "layer " + quoted(at.path()))) {
          at.fault(std::move(fault));
        }
        if (!at.require({peft_names::token_rows})) continue;
        const std::int64_t dim = at.layer().main_weight().size(1);
        const torch::Tensor values = at.read(peft_names::token_rows, {static_cast<std::int64_t>(tokens.size()), dim});
        if (values.defined()) at.put(std::make_shared<TokenRowsAdapter>(tokens, values));
      }
      if (any) continue;
      in.fault(message("\"trainable_token_indices\" names ",
                       name.empty() ? std::string("the input embedding") : quoted(name),
                       ", and the model has no such embedding"));
    }
  }
};

}  // namespace detail

GRAFT_INLINE const AdapterKind& TokenRowsAdapter::in_files() {
  static const detail::TokenRowsFiles files;
  return files;
}

}  // namespace graft
