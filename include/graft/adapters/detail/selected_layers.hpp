#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "graft/adapters/detail/active_updates.hpp"
#include "graft/adapters/detail/slots.hpp"

namespace graft {

class Adaptable;

namespace detail {

/// What an AdapterSelection says to one layer.
struct SelectedLayer {
  /// Sequences of a mixed batch that have one adapter.
  struct Group {
    std::shared_ptr<const RowSet> tokens;     // their rows where a row is a token
    std::shared_ptr<const RowSet> sequences;  // and where a row is a sequence
    ActiveUpdates updates;
  };

  std::shared_ptr<const AdapterSlots> slots;  // null if the layer has none
  ActiveUpdates updates;                      // every row's; of a mixed batch, with the rows that are tokens
  ActiveUpdates sequence_updates;             // of a mixed batch, with the rows that are sequences
  std::vector<Group> groups;                  // of a mixed batch
};

/// What an AdapterSelection says to a model.
struct SelectedLayers {
  std::unordered_map<const Adaptable*, SelectedLayer> layers;
  bool mixed = false;
  std::int64_t tokens = 0, sequences = 0;  // of a mixed batch

  /// What the scope that this thread is in says; nullptr without one.
  static const SelectedLayers*& current() {
    static thread_local const SelectedLayers* selected = nullptr;
    return selected;
  }
};

}  // namespace detail
}  // namespace graft
