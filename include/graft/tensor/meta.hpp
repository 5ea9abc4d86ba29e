#pragma once

#include <c10/core/Device.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "graft/core/mode.hpp"

namespace torch::nn {
class Module;
}

namespace graft {

/// While it lives, tensors that this thread makes have a shape and a type but no memory (LibTorch's meta device),
/// whatever device the maker asks for. A module made so tells its names and shapes at once, however large it is.
///
///     const auto model = [&] { const MetaScope no_memory; return BertModel(config); }();
///     give_memory(*model, torch::kCPU);
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
void give_memory(torch::nn::Module& module, c10::Device device);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/meta-inl.hpp"
#endif
