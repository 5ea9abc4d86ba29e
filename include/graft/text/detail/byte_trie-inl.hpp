#pragma once

#include "graft/text/detail/byte_trie.hpp"

namespace graft::detail {

GRAFT_INLINE ByteTrie::ByteTrie(std::vector<std::pair<std::string, std::int32_t>> strings) {
  std::stable_sort(strings.begin(), strings.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  // Node by node in breadth: each stands for a range of the sorted strings that share its first `depth` bytes.
  struct Range {
    std::size_t begin, end, depth;
  };
  std::vector<Range> ranges{{0, strings.size(), 0}};
  nodes_.emplace_back();
  labels_.push_back('\0');
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    auto [at, end, depth] = ranges[node];
    if (at < end && strings[at].first.size() == depth && depth > 0) nodes_[node].value = strings[at].second;
    while (at < end && strings[at].first.size() == depth) ++at;
    nodes_[node].first_child = static_cast<std::uint32_t>(nodes_.size());
    while (at < end) {
      const char label = strings[at].first[depth];
      std::size_t next = at;
      while (next < end && strings[next].first[depth] == label) ++next;
      if (node == 0) roots_[static_cast<unsigned char>(label)] = static_cast<std::uint32_t>(nodes_.size());
      ++nodes_[node].children;
      nodes_.emplace_back();
      labels_.push_back(label);
      ranges.push_back({at, next, depth + 1});
      at = next;
    }
  }
}

}  // namespace graft::detail
