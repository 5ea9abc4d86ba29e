#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/retrieval/detail/top_k.hpp"
#include "graft/retrieval/document.hpp"

namespace graft {

/// A ranked list, best first, and what it weighs.
struct RankedList {
  std::span<const Scored> entries;
  double weight = 1.0;  ///< finite, not negative
};

/// Joins ranked lists: an id scores the sum over lists of weight / (k + place), the first place being 1. Best first,
/// equal scores by id. The lists' own scores are not looked at. Source: Cormack et al., Reciprocal Rank Fusion, SIGIR
/// 2009. Throws OptionError if a weight or `k` is negative or not finite, or an id stands in a list twice.
std::vector<Scored> reciprocal_rank_fusion(std::span<const RankedList> lists, double k = 60.0);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/fusion-inl.hpp"
#endif
