#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "graft/retrieval/document.hpp"

namespace graft::detail {

/// Whether `a` stands before `b` in a ranking: the higher score, then the lower id.
inline bool before(const Scored& a, const Scored& b) {
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}

/// Keeps the best k of what it is shown.
class TopK {
 public:
  explicit TopK(std::size_t k) : k_(k) {}

  /// What a score must reach to have a chance: the worst one kept, once there are k.
  float least() const {
    return heap_.size() < k_ ? -std::numeric_limits<float>::infinity() : static_cast<float>(heap_.front().score);
  }

  void push(const Scored& entry) {
    if (heap_.size() < k_) {
      heap_.push_back(entry);
      std::push_heap(heap_.begin(), heap_.end(), before);
    } else if (k_ > 0 && before(entry, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), before);
      heap_.back() = entry;
      std::push_heap(heap_.begin(), heap_.end(), before);
    }
  }

  void push(const TopK& other) {
    for (const Scored& entry : other.heap_) push(entry);
  }

  /// Best first.
  std::vector<Scored> sorted() && {
    std::sort_heap(heap_.begin(), heap_.end(), before);
    return std::move(heap_);
  }

 private:
  std::size_t k_;
  std::vector<Scored> heap_;  // the worst one in front
};

}  // namespace graft::detail
