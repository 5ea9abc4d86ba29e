#pragma once

// hnswlib's own distances are not used, and in 0.6.2 they are functions that two files cannot both define.
#if !defined(NO_MANUAL_VECTORIZATION)
#define NO_MANUAL_VECTORIZATION
#include <hnswlib/hnswlib.h>
#undef NO_MANUAL_VECTORIZATION
#else
#include <hnswlib/hnswlib.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "graft/retrieval/detail/dot.hpp"
#include "graft/retrieval/detail/padded_vectors.hpp"

namespace graft::detail {

/// Distances by graft's kernels: hnswlib's own are as wide as the flags the program is compiled with.
class HnswSpace : public hnswlib::SpaceInterface<float> {
 public:
  HnswSpace(Metric metric, std::size_t width)
      : parameter_{metric == Metric::euclidean ? dot_kernels().euclidean_pair : dot_kernels().inner_pair,
                   metric == Metric::euclidean ? dot_kernels().euclidean_four : dot_kernels().inner_four, width,
                   metric == Metric::euclidean ? 1.0f : -1.0f} {}
  std::size_t get_data_size() override { return parameter_.width * sizeof(float); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return &distance; }
  void* get_dist_func_param() override { return &parameter_; }

  /// Distances of four rows from `query`.
  void four(const float* query, const float* const* rows, float* distances) const {
    parameter_.four(query, rows, parameter_.width, distances);
    for (int i = 0; i < 4; ++i) distances[i] *= parameter_.sign;
  }

 private:
  struct Parameter {
    float (*pair)(const float*, const float*, std::size_t);
    void (*four)(const float*, const float* const*, std::size_t, float*);
    std::size_t width;
    float sign;
  };
  static float distance(const void* a, const void* b, const void* parameter) {
    const auto& p = *static_cast<const Parameter*>(parameter);
    return p.sign * p.pair(static_cast<const float*>(a), static_cast<const float*>(b), p.width);
  }
  Parameter parameter_;
};

/// hnswlib's graph with room that grows, and access to its rows. Row = internal id, 0 ... rows() - 1.
class HnswGraph : public hnswlib::HierarchicalNSW<float> {
  using Base = hnswlib::HierarchicalNSW<float>;

 public:
  HnswGraph(std::unique_ptr<HnswSpace> space, std::size_t capacity, std::size_t links, std::size_t ef_construction)
      : Base(space.get(), capacity, links, ef_construction), space_(std::move(space)) {}

  std::size_t rows() const { return cur_element_count; }
  std::size_t marked() const { return num_deleted_; }
  void make_room(std::size_t count) {
    if (rows() + count > max_elements_) resizeIndex(std::max(rows() + count, max_elements_ + max_elements_ / 2));
  }
  bool is_marked(std::uint32_t row) const { return isMarkedDeleted(row); }
  PassageId id(std::uint32_t row) const { return static_cast<PassageId>(getExternalLabel(row)); }
  /// Not aligned: read it with the kernels or memcpy.
  const float* vector(std::uint32_t row) const { return reinterpret_cast<const float*>(getDataByInternalId(row)); }
  std::int64_t row_of(PassageId id) const {
    const auto found = label_lookup_.find(static_cast<hnswlib::labeltype>(id));
    return found == label_lookup_.end() || isMarkedDeleted(found->second) ? -1
                                                                          : static_cast<std::int64_t>(found->second);
  }

  /// A row and its distance from a query.
  struct Near {
    float distance;
    std::uint32_t row;
    bool operator<(const Near& other) const { return distance < other.distance; }
  };

  /// Up to `depth` unmarked rows near `query`, in no order: what hnswlib's searchKnn() finds, which takes distances one
  /// by one. Here those of all fresh neighbours of a row are taken together, with their numbers asked of memory ahead.
  std::vector<Near> nearest(const float* query, std::size_t depth) const {
    if (rows() == 0) return {};
    Walk walk{*this, query, maxM0_};
    walk.descend();
    return walk.lowest_level(depth);
  }

 private:
  class VisitedRows {
   public:
    explicit VisitedRows(const HnswGraph& graph)
        : pool_(*graph.visited_list_pool_), list_(pool_.getFreeVisitedList()) {}
    ~VisitedRows() { pool_.releaseVisitedList(list_); }
    VisitedRows(const VisitedRows&) = delete;
    VisitedRows& operator=(const VisitedRows&) = delete;
    /// Whether it is the first visit.
    bool enter(std::uint32_t row) {
      if (list_->mass[row] == list_->curV) return false;
      list_->mass[row] = list_->curV;
      return true;
    }

   private:
    hnswlib::VisitedListPool& pool_;
    hnswlib::VisitedList* list_;
  };

  /// One search.
  class Walk {
   public:
    Walk(const HnswGraph& graph, const float* query, std::size_t most)
        : graph_(graph), query_(query), rows_(most + 4), distances_(most + 4) {}

    /// From the entry to the nearest row of the levels above the lowest.
    void descend() {
      start_ = graph_.enterpoint_node_;
      rows_[0] = start_;
      measure(1);
      distance_ = distances_[0];
      for (int level = graph_.maxlevel_; level > 0; --level)
        for (bool nearer = true; nearer;) {
          nearer = false;
          const unsigned* list = graph_.get_linklist(start_, level);
          const std::size_t count = *reinterpret_cast<const unsigned short*>(list);
          std::memcpy(rows_.data(), list + 1, count * sizeof(unsigned));
          measure(count);
          for (std::size_t i = 0; i < count; ++i)
            if (distances_[i] < distance_) distance_ = distances_[i], start_ = rows_[i], nearer = true;
        }
    }

    std::vector<Near> lowest_level(std::size_t depth) {
      const bool marks = graph_.marked() > 0;
      std::vector<Near> found, open;  // heaps: the farthest of the first in front, the nearest of the second
      const auto nearer = [](const Near& a, const Near& b) { return b < a; };
      found.reserve(depth + 1);
      VisitedRows visited(graph_);
      visited.enter(start_);
      open.push_back({distance_, start_});
      if (!marks || !graph_.is_marked(start_)) found.push_back(open[0]);
      while (!open.empty()) {
        const Near here = open.front();
        if (found.size() == depth && here.distance > found.front().distance) break;
        std::pop_heap(open.begin(), open.end(), nearer);
        open.pop_back();
        const std::size_t fresh = fresh_neighbours(here.row, visited);
        measure(fresh);
        for (std::size_t i = 0; i < fresh; ++i) {
          const Near next{distances_[i], rows_[i]};
          if (found.size() == depth && !(next < found.front())) continue;
          open.push_back(next);
          std::push_heap(open.begin(), open.end(), nearer);
          if (marks && graph_.is_marked(next.row)) continue;
          if (found.size() == depth) {
            std::pop_heap(found.begin(), found.end());
            found.back() = next;
          } else {
            found.push_back(next);
          }
          std::push_heap(found.begin(), found.end());
        }
      }
      return found;
    }

   private:
    /// Into rows_.
    std::size_t fresh_neighbours(std::uint32_t row, VisitedRows& visited) {
      const unsigned* list = graph_.get_linklist0(row);
      const std::size_t count = *reinterpret_cast<const unsigned short*>(list);
      std::size_t fresh = 0;
      for (std::size_t i = 1; i <= count; ++i) {
        std::uint32_t to = 0;
        std::memcpy(&to, list + i, sizeof to);
        if (visited.enter(to)) rows_[fresh++] = to;
      }
      return fresh;
    }

    /// The distances of rows_[0 ... count).
    void measure(std::size_t count) {
      if (count == 0) return;
      for (std::size_t i = count; i < count + 3; ++i) rows_[i] = rows_[count - 1];
      ask(0);
      for (std::size_t i = 0; i < count; i += 4) {
        if (i + 4 < count) ask(i + 4);
        const float* four[4];
        for (std::size_t r = 0; r < 4; ++r) four[r] = graph_.vector(rows_[i + r]);
        graph_.space_->four(query_, four, distances_.data() + i);
      }
    }

    /// Starts the reading of four rows.
    void ask(std::size_t first) const {
      for (std::size_t r = 0; r < 4; ++r) {
        const char* from = graph_.getDataByInternalId(rows_[first + r]);
        for (std::size_t byte = 0; byte < graph_.data_size_; byte += 64) __builtin_prefetch(from + byte);
      }
    }

    const HnswGraph& graph_;
    const float* query_;
    std::vector<std::uint32_t> rows_;
    std::vector<float> distances_;
    std::uint32_t start_ = 0;
    float distance_ = 0;
  };

  std::unique_ptr<HnswSpace> space_;  // declared after the base that points to it, which does not use it when it goes
};

}  // namespace graft::detail
