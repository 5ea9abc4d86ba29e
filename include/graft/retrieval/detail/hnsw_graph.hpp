#pragma once

#if !__has_include(<hnswlib/hnswlib.h>)
#error \
    "graft/retrieval/hnsw.hpp needs the headers of hnswlib 0.6.2 or newer: Debian's libhnswlib-dev, or PyPI's source package"
#endif
// hnswlib's own distances are not used, and in 0.6.2 they are functions that two files cannot both define.
#if !defined(NO_MANUAL_VECTORIZATION)
#define NO_MANUAL_VECTORIZATION
#include <hnswlib/hnswlib.h>
#undef NO_MANUAL_VECTORIZATION
#else
#include <hnswlib/hnswlib.h>
#endif

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "graft/retrieval/detail/dot.hpp"
#include "graft/retrieval/detail/vectors.hpp"

namespace graft::detail {

/// Distances by graft's kernels: hnswlib's own are as wide as the flags the program is compiled with.
class HnswSpace : public hnswlib::SpaceInterface<float> {
 public:
  HnswSpace(Metric metric, std::size_t width)
      : parameter_{metric == Metric::euclidean ? dot_kernels().euclidean_pair : dot_kernels().inner_pair, width,
                   metric == Metric::euclidean ? 1.0f : -1.0f} {}
  std::size_t get_data_size() override { return parameter_.width * sizeof(float); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return &distance; }
  void* get_dist_func_param() override { return &parameter_; }

 private:
  struct Parameter {
    float (*pair)(const float*, const float*, std::size_t);
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

 private:
  std::unique_ptr<HnswSpace> space_;  // declared after the base that points to it, which does not use it when it goes
};

}  // namespace graft::detail
