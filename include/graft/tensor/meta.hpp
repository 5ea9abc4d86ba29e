#pragma once

#include <vector>

#include <c10/core/DispatchKeySet.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include "graft/core/mode.hpp"

namespace graft::detail {

/// While it lives, tensors that this thread makes have a shape and a type but no memory (LibTorch's meta device),
/// whatever device the maker asks for. A module made so tells its names and shapes at once, however large it is.
class MetaScope {
 private:
  static c10::impl::LocalDispatchKeySet keys() {
    c10::impl::LocalDispatchKeySet keys = c10::impl::tls_local_dispatch_key_set();
    keys.included_ = keys.included_ | c10::DispatchKeySet(c10::DispatchKey::Meta);
    keys.excluded_ = keys.excluded_ | c10::DispatchKeySet(c10::DispatchKey::BackendSelect);
    return keys;
  }

  // Not IncludeDispatchKeyGuard: taking its key out again leaves the backend's bit behind.
  c10::impl::ForceDispatchKeyGuard guard_{keys()};
};

/// Gives the parameters and buffers of a module made in a MetaScope memory, each of its type, on `device`, that holds
/// nothing yet. They stay the tensors they were: set_data(), for which a tensor of another device is another kind,
/// would refuse. So a model that is to be loaded is never filled with random numbers first.
void give_memory(torch::nn::Module& module, torch::Device device);

/// The weights [out, in] that products read: those of linear layers, and in a model that says which of its tables are
/// such, these too.
template <class Impl>
std::vector<torch::Tensor> matrices(const Impl& model) {
  std::vector<torch::Tensor> weights;
  for (const auto& module : model.modules(/*include_self=*/false)) {
    if (const auto* layer = module->template as<torch::nn::LinearImpl>()) weights.push_back(layer->weight);
  }
  if constexpr (requires { model.tied_weight(); }) {
    if (const torch::Tensor words = model.tied_weight(); words.defined()) weights.push_back(words);
  }
  return weights;
}

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/tensor/meta-inl.hpp"
#endif
