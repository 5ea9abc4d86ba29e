#pragma once

#include "graft/adapters/kinds/dora.hpp"
#include "graft/adapters/kinds/ia3.hpp"
#include "graft/adapters/kinds/lora.hpp"
#include "graft/adapters/kinds/token_rows.hpp"
#include "graft/adapters/kinds/vera.hpp"
#include "graft/adapters/peft/kind.hpp"

namespace graft {

/// The kinds of adapters that load_adapter() knows in files unless it is given others: for one of your own,
/// `auto kinds = known_kinds(); kinds.push_back(&MyAdapter::in_files());`.
inline AdapterKinds known_kinds() {
  return {&TokenRowsAdapter::in_files(), &LowRankAdapter::in_files(), &DoraAdapter::in_files(), &Ia3Adapter::in_files(),
          &VeraAdapter::in_files()};
}

}  // namespace graft
