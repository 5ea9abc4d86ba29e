#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/index.hpp"
#include "graft/retrieval/store.hpp"

namespace graft {

/// What a copy has put into its target so far.
struct CopyReport {
  std::size_t documents = 0;
  std::size_t passages = 0;
  std::size_t vectors = 0;
};

struct CopyOptions {
  std::size_t batch = 256;                               ///< documents whose vectors are read and written together
  std::function<void(const CopyReport&)> progress = {};  ///< called after each batch
  std::function<bool()> stop = {};                       ///< asked before each batch; true ends the copy
};

/// Copies all that `from` holds into `to`: documents, metadata, passages as they were cut, vectors of every model,
/// notes. It works in either direction between any two kinds of store, and nothing is cut or embedded again.
///
/// `from` is read on one snapshot, and all of it appears in `to` with one commit: if anything is thrown, or the copy is
/// stopped, `to` stays as it was. Documents and notes that `to` has under the same name are replaced, others stay. Ids
/// are given anew by `to`, in the same order. Throws what the stores throw; OptionError if `to` has a model with
/// another width or metric, or does not take a document.
CopyReport copy_store(Store& from, Store& to, const CopyOptions& options = {});

namespace detail {

/// Copies the vectors of `space` that these passages have.
std::size_t copy_vectors(Snapshot& source, Writer& target, const VectorSpace& space, std::span<const PassageId> ids,
                         const std::unordered_map<PassageId, PassageId>& renamed);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/copy-inl.hpp"
#endif
