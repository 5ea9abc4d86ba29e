#pragma once

#include <c10/core/DispatchKeySet.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

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

}  // namespace graft::detail
