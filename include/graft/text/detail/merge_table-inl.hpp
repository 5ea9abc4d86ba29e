#pragma once

#include "graft/text/detail/merge_table.hpp"

namespace graft::detail {

GRAFT_INLINE void MergeTable::apply_to_few(std::vector<Token>& symbols) const {
  std::vector<Merge> merges;  // of each symbol with the next
  merges.reserve(symbols.size());
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) merges.push_back(find(symbols[i].id, symbols[i + 1].id));
  while (!merges.empty()) {
    const auto best =
        std::min_element(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    if (best->rank == none) return;
    const std::ptrdiff_t at = best - merges.begin();
    const auto symbol = symbols.begin() + at;
    *symbol = {best->id, {symbol->range.begin, symbol[1].range.end}};
    symbols.erase(symbol + 1);
    merges.erase(best);
    const auto i = static_cast<std::size_t>(at);
    if (i < merges.size()) merges[i] = find(symbols[i].id, symbols[i + 1].id);
    if (i > 0) merges[i - 1] = find(symbols[i - 1].id, symbols[i].id);
  }
}

GRAFT_INLINE void MergeTable::apply_to_many(std::vector<Token>& symbols) const {
  constexpr std::uint32_t end = std::numeric_limits<std::uint32_t>::max();
  struct Links {
    std::uint32_t previous, next;
  };
  struct Candidate {
    std::uint32_t rank, at;
    std::int32_t id;
    bool operator<(const Candidate& other) const {  // the queue gives its largest first
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const auto count = static_cast<std::uint32_t>(symbols.size());
  std::vector<Links> links(count);
  std::vector<Candidate> candidates;
  for (std::uint32_t i = 0; i < count; ++i) {
    links[i] = {i == 0 ? end : i - 1, i + 1 == count ? end : i + 1};
    if (i + 1 == count) break;
    const Merge merge = find(symbols[i].id, symbols[i + 1].id);
    if (merge.rank != none) candidates.push_back({merge.rank, i, merge.id});
  }
  std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(candidates));
  const auto gone = [](const Token& symbol) { return symbol.range.begin == symbol.range.end; };
  const auto consider = [&](std::uint32_t left, std::uint32_t right) {
    const Merge merge = find(symbols[left].id, symbols[right].id);
    if (merge.rank != none) queue.push({merge.rank, left, merge.id});
  };
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    const std::uint32_t next = links[best.at].next;
    if (gone(symbols[best.at]) || next == end) continue;
    // The pair may have become another one since it was queued.
    if (find(symbols[best.at].id, symbols[next].id).id != best.id) continue;
    symbols[best.at] = {best.id, {symbols[best.at].range.begin, symbols[next].range.end}};
    symbols[next].range.begin = symbols[next].range.end;
    links[best.at].next = links[next].next;
    if (links[next].next != end) {
      links[links[next].next].previous = best.at;
      consider(best.at, links[next].next);
    }
    if (links[best.at].previous != end) consider(links[best.at].previous, best.at);
  }
  std::erase_if(symbols, gone);
}

}  // namespace graft::detail
