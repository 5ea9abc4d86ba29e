#pragma once

#include "graft/retrieval/detail/top_k.hpp"

namespace graft::detail {

GRAFT_INLINE bool before(const Scored& a, const Scored& b) {
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}

}  // namespace graft::detail
