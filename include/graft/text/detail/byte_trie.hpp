#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/mode.hpp"

namespace graft::detail {

/// Byte strings with a value each, searched for the longest that a text begins with.
class ByteTrie {
 public:
  struct Match {
    std::size_t length = 0;  ///< 0: none
    std::int32_t value = -1;
  };

  ByteTrie() : ByteTrie(std::vector<std::pair<std::string, std::int32_t>>{}) {}

  /// Of equal strings the first counts; "" never matches. Values are not negative.
  explicit ByteTrie(std::vector<std::pair<std::string, std::int32_t>> strings);

  bool empty() const { return nodes_.size() == 1; }

  /// Whether some string begins with this byte.
  bool starts(char byte) const { return roots_[static_cast<unsigned char>(byte)] != 0; }

  Match longest_match(std::string_view text) const {
    Match best;
    each_match(text, [&best](std::size_t length, std::int32_t value) { best = {length, value}; });
    return best;
  }

  /// Calls use(length, value) for each string that `text` begins with, the shortest first.
  template <class Use>
  void each_match(std::string_view text, Use&& use) const {
    std::uint32_t node = text.empty() ? 0 : roots_[static_cast<unsigned char>(text[0])];
    for (std::size_t length = 1; node != 0; ++length) {
      if (nodes_[node].value >= 0) use(length, nodes_[node].value);
      if (length == text.size()) break;
      node = child(node, text[length]);
    }
  }

 private:
  // The children of a node lie side by side, in the order of their bytes; node 0 is the root.
  struct Node {
    std::uint32_t first_child = 0;
    std::uint32_t children = 0;
    std::int32_t value = -1;
  };

  std::uint32_t child(std::uint32_t node, char byte) const {
    const Node& parent = nodes_[node];
    if (parent.children == 0) return 0;
    const char* labels = labels_.data() + parent.first_child;
    const void* found = std::memchr(labels, byte, parent.children);
    return found == nullptr ? 0
                            : parent.first_child + static_cast<std::uint32_t>(static_cast<const char*>(found) - labels);
  }

  std::vector<Node> nodes_;
  std::string labels_;  // the byte that leads to each node
  std::array<std::uint32_t, 256> roots_{};
};

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/text/detail/byte_trie-inl.hpp"
#endif
