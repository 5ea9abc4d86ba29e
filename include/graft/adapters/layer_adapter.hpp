#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/detail/dora_norms.hpp"
#include "graft/adapters/low_rank.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// What one adapter adds to one layer. Its parameters are what it trains, its buffers what it keeps beside them.
class LayerAdapter : public torch::nn::Module {
 public:
  /// A copy on `device`, or where it is, that shares no storage and trains the same.
  std::shared_ptr<LayerAdapter> copy(const std::optional<torch::Device>& device = std::nullopt) const {
    const auto moved = [&](const torch::Tensor& tensor) {
      if (!tensor.defined()) return torch::Tensor();
      return tensor.detach().to(device.value_or(tensor.device()), tensor.scalar_type(), false, /*copy=*/true);
    };
    const std::shared_ptr<LayerAdapter> result = copy_with(moved);
    const auto own = named_parameters();
    for (auto& parameter : result->named_parameters()) {
      parameter.value().set_requires_grad(own[parameter.key()].requires_grad());
    }
    return result;
  }

 protected:
  using Moved = std::function<torch::Tensor(const torch::Tensor&)>;
  virtual std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const = 0;
};

/// A and B of a low-rank update, scale B A. Where they do not start at zero (PiSSA, OLoRA) the update is what they
/// gained: scale (B A - start_B start_A).
class LowRankAdapter : public LayerAdapter {
 public:
  /// `start` holds start_A and start_B, or nothing.
  LowRankAdapter(const LoraOptions& options, torch::Tensor A, torch::Tensor B, torch::Tensor bias = {},
                 std::pair<torch::Tensor, torch::Tensor> start = {})
      : options(options),
        lora_A(register_parameter("lora_A", std::move(A))),
        lora_B(register_parameter("lora_B", std::move(B))) {
    if (bias.defined()) lora_B_bias = register_parameter("lora_B_bias", std::move(bias));
    if (start.first.defined()) {
      start_A = register_buffer("start_A", std::move(start.first));
      start_B = register_buffer("start_B", std::move(start.second));
    }
  }

  /// What B A is multiplied by before it joins the layer's weight.
  double scale() const { return options.scale(); }

  const LoraOptions options;
  torch::Tensor lora_A;       ///< shape by LowRank<Impl>::shape
  torch::Tensor lora_B;       ///< shape by LowRank<Impl>::shape
  torch::Tensor lora_B_bias;  ///< [out] with LoraOptions::bias, else undefined
  torch::Tensor start_A;      ///< A at the start, frozen; undefined if the update started at zero
  torch::Tensor start_B;      ///< B likewise

 protected:
  std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override {
    return std::make_shared<LowRankAdapter>(options, moved(lora_A), moved(lora_B), moved(lora_B_bias),
                                            std::pair(moved(start_A), moved(start_B)));
  }
};

/// A low-rank adapter whose updated weight has rows of trained lengths; see Dora.
class DoraAdapter : public LowRankAdapter {
 public:
  DoraAdapter(const LoraOptions& options, torch::Tensor A, torch::Tensor B, torch::Tensor magnitude)
      : LowRankAdapter(options, std::move(A), std::move(B)),
        lora_magnitude_vector(register_parameter("lora_magnitude_vector", std::move(magnitude))) {}

  torch::Tensor lora_magnitude_vector;  ///< one length for each unit of the layer, shaped as in PEFT's files
  const std::shared_ptr<detail::DoraNorms> norms = std::make_shared<detail::DoraNorms>();

 protected:
  std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override {
    return std::make_shared<DoraAdapter>(options, moved(lora_A), moved(lora_B), moved(lora_magnitude_vector));
  }
};

/// What of a layer IA3 scales.
enum class Ia3Side {
  output,  ///< each output, its bias included
  input,   ///< each input: PEFT's feed-forward layers
};

/// One factor for each output or input of a layer; see attach_ia3().
class Ia3Adapter : public LayerAdapter {
 public:
  Ia3Adapter(Ia3Side side, torch::Tensor factors)
      : side(side), ia3_l(register_parameter("ia3_l", std::move(factors))) {}

  const Ia3Side side;
  torch::Tensor ia3_l;  ///< linear: [out, 1] or [1, in]; convolution: [1, channels, 1...]; as in PEFT's files

 protected:
  std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override {
    return std::make_shared<Ia3Adapter>(side, moved(ia3_l));
  }
};

/// Rows of an embedding that take the place of its own; see train_token_rows().
class TokenRowsAdapter : public LayerAdapter {
 public:
  /// `tokens`, each once, and the rows' values [tokens, dim].
  TokenRowsAdapter(std::vector<std::int64_t> tokens, torch::Tensor values)
      : tokens(std::move(tokens)),
        trainable_tokens_delta(register_parameter("trainable_tokens_delta", std::move(values))) {}

  const std::vector<std::int64_t> tokens;
  torch::Tensor trainable_tokens_delta;  ///< [tokens, dim]: the rows themselves, under the name that PEFT gives them

 protected:
  std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override {
    return std::make_shared<TokenRowsAdapter>(tokens, moved(trainable_tokens_delta));
  }
};

/// An adapter's name and the factor its update is multiplied by, beside alpha / r.
struct ActiveAdapter {
  std::string name;
  double weight = 1.0;
};

namespace detail {

/// Sets it only where it differs: another thread may be reading the flag of a frozen parameter.
void set_trained(torch::Tensor& parameter, bool trained);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/layer_adapter-inl.hpp"
#endif
