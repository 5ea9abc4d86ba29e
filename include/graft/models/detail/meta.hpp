#pragma once

#include <c10/core/DispatchKeySet.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/nn/module.h>
#include <torch/types.h>

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

/// Gives the parameters and buffers of a module made in a MetaScope memory, of `type` on `device`, that holds nothing
/// yet. They stay the tensors they were: set_data(), for which a tensor of another device is another kind, would
/// refuse. So a model that is to be loaded is never filled with random numbers first.
inline void give_memory(torch::nn::Module& module, torch::ScalarType type, torch::Device device) {
  const auto fill = [&](const torch::Tensor& tensor) {
    const torch::Tensor memory = torch::empty(tensor.sizes(), torch::TensorOptions().dtype(type).device(device));
    tensor.unsafeGetTensorImpl()->shallow_copy_from(memory.getIntrusivePtr());
  };
  for (const torch::Tensor& tensor : module.parameters()) fill(tensor);
  for (const torch::Tensor& tensor : module.buffers()) fill(tensor);
}

}  // namespace graft::detail
