#pragma once

#include "graft/retrieval/fusion.hpp"

namespace graft {

GRAFT_INLINE std::vector<Scored> reciprocal_rank_fusion(std::span<const RankedList> lists, double k) {
  if (!(k >= 0) || !std::isfinite(k)) throw OptionError(message("k of reciprocal rank fusion is ", k, "; 60 is usual"));
  std::unordered_map<std::int64_t, double> scores;
  for (std::size_t l = 0; l < lists.size(); ++l) {
    const RankedList& list = lists[l];
    if (!(list.weight >= 0) || !std::isfinite(list.weight))
      throw OptionError(message("the weight of list ", l, " is ", list.weight, "; choose 0 or more"));
    std::unordered_set<std::int64_t> seen;
    for (std::size_t i = 0; i < list.entries.size(); ++i) {
      const std::int64_t id = list.entries[i].id;
      if (!seen.insert(id).second) throw OptionError(message("list ", l, " holds id ", id, " twice"));
      scores[id] += list.weight / (k + static_cast<double>(i + 1));
    }
  }
  std::vector<Scored> out;
  out.reserve(scores.size());
  for (const auto& [id, score] : scores) out.push_back({id, score});
  std::sort(out.begin(), out.end(), detail::before);
  return out;
}

}  // namespace graft
