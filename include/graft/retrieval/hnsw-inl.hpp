#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/hash.hpp"
#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/retrieval/detail/exact_scan.hpp"
#include "graft/retrieval/detail/hnsw_graph.hpp"
#include "graft/retrieval/hnsw.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE void check_hnsw_options(const HnswOptions& options) {
  if (options.links < 2 || options.links > 200)
    throw OptionError(message("links is ", options.links, "; choose 2 to 200"));
  if (options.ef_construction < options.links || options.ef_construction > 10'000)
    throw OptionError(message("ef_construction is ", options.ef_construction, "; choose ", options.links, " to 10000"));
  if (options.ef_search < 1 || options.ef_search > 10'000)
    throw OptionError(message("ef_search is ", options.ef_search, "; choose 1 to 10000"));
}

GRAFT_INLINE std::unique_ptr<HnswGraph> empty_graph(const VectorSpace& space, const HnswOptions& options,
                                                    std::size_t capacity) {
  return std::make_unique<HnswGraph>(std::make_unique<HnswSpace>(space.metric, padded_width(space.width)),
                                     std::max<std::size_t>(capacity, 16), options.links, options.ef_construction);
}

/// Adds rows [ids.size(), padded width] that are scaled and padded already.
GRAFT_INLINE void add_rows(HnswGraph& graph, const HnswOptions& options, std::span<const PassageId> ids,
                           std::span<const float> rows) {
  graph.make_room(ids.size());
  const std::size_t stride = ids.empty() ? 0 : rows.size() / ids.size();
  std::atomic<std::size_t> next = 0;
  on_threads(useful_threads(options.threads, ids.size() * stride * options.ef_construction), [&](std::size_t) {
    for (std::size_t i = next++; i < ids.size(); i = next++)
      graph.addPoint(rows.data() + i * stride, static_cast<hnswlib::labeltype>(ids[i]));
  });
}

}  // namespace detail

GRAFT_INLINE HnswIndex::HnswIndex(VectorSpace space, HnswOptions options)
    : space_(std::move(space)), options_(options) {
  check_space(space_);
  detail::check_hnsw_options(options_);
  graph_ = detail::empty_graph(space_, options_, 1024);
}

GRAFT_INLINE HnswIndex::~HnswIndex() = default;
GRAFT_INLINE HnswIndex::HnswIndex(HnswIndex&&) noexcept = default;
GRAFT_INLINE HnswIndex& HnswIndex::operator=(HnswIndex&&) noexcept = default;

GRAFT_INLINE std::size_t HnswIndex::size() const { return graph_->rows() - graph_->marked(); }
GRAFT_INLINE bool HnswIndex::contains(PassageId id) const { return graph_->row_of(id) >= 0; }

GRAFT_INLINE std::vector<PassageId> HnswIndex::ids() const {
  std::vector<PassageId> out;
  for (std::uint32_t row = 0; row < graph_->rows(); ++row)
    if (!graph_->is_marked(row)) out.push_back(graph_->id(row));
  return out;
}

GRAFT_INLINE void HnswIndex::set_ef_search(std::size_t ef_search) {
  HnswOptions options = options_;
  options.ef_search = ef_search;
  detail::check_hnsw_options(options);
  options_ = options;
}

GRAFT_INLINE void HnswIndex::add(std::span<const PassageId> ids, std::span<const float> vectors) {
  check_vectors(space_, ids.size(), vectors, "vector");
  check_new_ids(*this, ids);
  try {
    detail::add_rows(*graph_, options_, ids, detail::padded_queries(space_, vectors));
  } catch (...) {
    remove(ids);
    throw;
  }
}

GRAFT_INLINE void HnswIndex::remove(std::span<const PassageId> ids) {
  for (const PassageId id : ids)
    if (contains(id)) graph_->markDelete(static_cast<hnswlib::labeltype>(id));
  if (graph_->marked() * 2 <= graph_->rows()) return;
  const std::size_t stride = detail::padded_width(space_.width);
  std::vector<PassageId> left;
  std::vector<float> rows;
  for (std::uint32_t row = 0; row < graph_->rows(); ++row) {
    if (graph_->is_marked(row)) continue;
    left.push_back(graph_->id(row));
    rows.resize(rows.size() + stride);
    std::memcpy(rows.data() + rows.size() - stride, graph_->vector(row), stride * sizeof(float));
  }
  auto fresh = detail::empty_graph(space_, options_, left.size());
  detail::add_rows(*fresh, options_, left, rows);
  graph_ = std::move(fresh);
}

GRAFT_INLINE std::vector<std::vector<Scored>> HnswIndex::search(std::span<const float> queries, std::size_t k,
                                                                const std::vector<PassageId>* allowed) const {
  const std::size_t count = queries.size() / static_cast<std::size_t>(space_.width);
  check_vectors(space_, count, queries, "query");
  const detail::LineVector<float> padded = detail::padded_queries(space_, queries);
  const std::size_t stride = detail::padded_width(space_.width);
  std::vector<std::uint32_t> rows;
  if (allowed) {
    for (const PassageId id : *allowed)
      if (const std::int64_t row = graph_->row_of(id); row >= 0) rows.push_back(static_cast<std::uint32_t>(row));
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  }
  const std::size_t possible = allowed ? rows.size() : size();
  k = std::min(k, possible);
  std::vector<std::vector<Scored>> out(count);
  if (k == 0) return out;
  // Comparing all costs `possible` distances; a walk that must pass over others about links x wanted of them.
  const std::size_t walked = 2 * options_.links * std::max(options_.ef_search, k) * size() / possible;
  const bool few = possible <= walked;
  const auto all_rows = [&] {
    if (!allowed)
      for (std::uint32_t row = 0; row < graph_->rows(); ++row)
        if (!graph_->is_marked(row)) rows.push_back(row);
  };
  if (few) all_rows();
  detail::on_threads(std::min(count, detail::useful_threads(options_.threads, count * walked * stride)),
                     [&, next = std::make_shared<std::atomic<std::size_t>>(0)](std::size_t) {
                       for (std::size_t q = (*next)++; q < count; q = (*next)++) {
                         const float* query = padded.data() + q * stride;
                         if (!few) out[q] = walk(query, k, allowed, possible);
                       }
                     });
  for (std::size_t q = 0; q < count; ++q)
    if (out[q].size() < k) {
      if (rows.empty()) all_rows();
      out[q] = compare_all(padded.data() + q * stride, k, rows);
    }
  return out;
}

GRAFT_INLINE std::vector<Scored> HnswIndex::walk(const float* query, std::size_t k,
                                                 const std::vector<PassageId>* allowed, std::size_t possible) const {
  const std::size_t wanted = std::max(options_.ef_search, k);
  // With a filter that lets one in n through, n times as many must be found.
  const std::size_t depth = std::min(size(), allowed ? wanted * size() / possible + wanted : wanted);
  std::vector<Scored> out;
  for (const auto& found : graph_->nearest(query, depth)) {
    const PassageId id = graph_->id(found.row);
    if (allowed && !std::binary_search(allowed->begin(), allowed->end(), id)) continue;
    out.push_back({id, -found.distance});
  }
  std::sort(out.begin(), out.end(), detail::before);
  out.resize(std::min(out.size(), k));
  return out;
}

GRAFT_INLINE std::vector<Scored> HnswIndex::compare_all(const float* query, std::size_t k,
                                                        const std::vector<std::uint32_t>& rows) const {
  const std::size_t stride = detail::padded_width(space_.width);
  const auto kernel = detail::panel_kernel(space_.metric, query);
  detail::TopK top(k);
  for (std::size_t first = 0; first < rows.size(); first += detail::kPanel) {
    const std::size_t here = std::min<std::size_t>(detail::kPanel, rows.size() - first);
    const float* panel[detail::kPanel + 4];
    for (std::size_t r = 0; r < detail::kPanel + 4; ++r)
      panel[r] = graph_->vector(rows[std::min(first + r, rows.size() - 1)]);
    float scores[detail::kPanel];
    const float least = top.least();
    std::uint32_t found = 0;
    kernel(query, 1, stride, panel, stride, &least, scores, &found);
    for (std::size_t r = 0; r < here; ++r)
      if (found >> r & 1) top.push({graph_->id(rows[first + r]), scores[r]});
  }
  return std::move(top).sorted();
}

namespace detail {

/// File: magic (16 bytes); length of the header as u64; the header, JSON; the lowest level as hnswlib holds it; the
/// level of each row as i32; the links of the upper levels, row by row; a checksum of all before it as u64. Numbers
/// little-endian.
inline constexpr std::string_view kHnswMagic{"graft hnsw 1\n\0\0\0", 16};

GRAFT_INLINE Json hnsw_header(const VectorSpace& space, const HnswOptions& options, std::size_t rows, int top_level,
                              std::uint32_t entry, std::string_view stamp) {
  return {{"model", space.model},
          {"width", space.width},
          {"metric", metric_name(space.metric)},
          {"links", options.links},
          {"ef_construction", options.ef_construction},
          {"rows", rows},
          {"top_level", top_level},
          {"entry", entry},
          {"stamp", stamp}};
}

template <class T>
std::span<const std::byte> raw(const T* data, std::size_t count) {
  return std::as_bytes(std::span(data, count));
}

/// Reads a file in order and sums it up as it goes.
class HnswReader {
 public:
  explicit HnswReader(const std::filesystem::path& path) : file_(path) {}

  void read(std::span<std::byte> bytes) {
    if (bytes.size() > left()) damaged("is cut short");
    file_.read_at(at_, bytes);
    at_ += bytes.size();
    sum_.add(bytes);
  }
  template <class T>
  T number() {
    T out;
    read(std::as_writable_bytes(std::span(&out, 1)));
    return out;
  }
  std::uint64_t left() const { return file_.size() - at_; }
  std::uint64_t sum() const { return sum_.value(); }
  std::string name() const { return quoted(file_.path().string()); }
  [[noreturn]] void damaged(std::string_view what) const {
    throw FormatError(message(name(), ", byte ", at_, ": ", what, "; build the index again"));
  }

 private:
  InputFile file_;
  std::uint64_t at_ = 0;
  Checksum sum_;
};

/// Whether the links of every row lead to rows of their level.
GRAFT_INLINE void check_links(const HnswGraph& graph, const HnswReader& reader) {
  const auto rows = static_cast<std::uint32_t>(graph.rows());
  const auto check = [&](const unsigned* list, std::size_t most, int level) {
    const std::size_t count = *reinterpret_cast<const unsigned short*>(list);
    if (count > most) reader.damaged(message("a row has ", count, " links, at most ", most, " are possible"));
    for (std::size_t i = 1; i <= count; ++i) {
      unsigned to = 0;
      std::memcpy(&to, list + i, sizeof to);
      if (to >= rows || graph.element_levels_[to] < level)
        reader.damaged(message("a link leads to row ", to, " on level ", level));
    }
  };
  for (std::uint32_t row = 0; row < rows; ++row) {
    std::vector<unsigned> lowest(graph.maxM0_ + 1);
    std::memcpy(lowest.data(), graph.get_linklist0(row), lowest.size() * sizeof(unsigned));
    check(lowest.data(), graph.maxM0_, 0);
    for (int level = 1; level <= graph.element_levels_[row]; ++level)
      check(graph.get_linklist(row, level), graph.maxM_, level);
  }
}

}  // namespace detail

GRAFT_INLINE void HnswIndex::save(const std::filesystem::path& path, std::string_view stamp) const {
  const std::size_t rows = graph_->rows();
  OutputFile file(path);
  Checksum sum;
  const auto write = [&](std::span<const std::byte> bytes) {
    sum.add(bytes);
    file.write(bytes);
  };
  const std::string header =
      detail::hnsw_header(space_, options_, rows, graph_->maxlevel_, graph_->enterpoint_node_, stamp).dump();
  const std::uint64_t length = header.size();
  write(std::as_bytes(std::span(detail::kHnswMagic)));
  write(detail::raw(&length, 1));
  write(std::as_bytes(std::span(header)));
  write(detail::raw(graph_->data_level0_memory_, rows * graph_->size_data_per_element_));
  write(detail::raw(graph_->element_levels_.data(), rows));
  for (std::size_t row = 0; row < rows; ++row)
    if (const int level = graph_->element_levels_[row]; level > 0)
      write(detail::raw(graph_->linkLists_[row], static_cast<std::size_t>(level) * graph_->size_links_per_element_));
  const std::uint64_t value = sum.value();
  file.write(detail::raw(&value, 1));
  file.commit();
}

GRAFT_INLINE std::pair<HnswIndex, std::string> HnswIndex::load(const std::filesystem::path& path,
                                                               const VectorSpace& space, HnswOptions options) {
  HnswIndex out(space, options);
  detail::HnswReader reader(path);
  std::string magic(detail::kHnswMagic.size(), '\0');
  reader.read(std::as_writable_bytes(std::span(magic)));
  if (magic != detail::kHnswMagic) reader.damaged("this is no index of graft");
  const auto length = reader.number<std::uint64_t>();
  if (length > std::min<std::uint64_t>(reader.left(), 1 << 20)) reader.damaged("the header is too long");
  std::string text(length, '\0');
  reader.read(std::as_writable_bytes(std::span(text)));
  const Json header = parse_json(text, reader.name());
  const JsonFields fields(header, reader.name());
  const auto rows = static_cast<std::size_t>(fields.integer("rows", 0, UINT32_MAX - 1));
  const auto top_level = static_cast<int>(fields.integer("top_level", -1, 1000));
  const auto entry = static_cast<std::uint32_t>(fields.integer("entry", 0, UINT32_MAX));
  std::string stamp = fields.text("stamp");
  if (header != detail::hnsw_header(space, options, rows, top_level, entry, stamp))
    reader.damaged("the index is of another model or was built with other options");

  // No memory is asked for that the file cannot fill.
  detail::HnswGraph& made = *out.graph_;
  if (rows > reader.left() / (made.size_data_per_element_ + sizeof(int))) reader.damaged("is cut short");
  auto graph = detail::empty_graph(space, options, rows);
  reader.read(std::as_writable_bytes(std::span(graph->data_level0_memory_, rows * graph->size_data_per_element_)));
  reader.read(std::as_writable_bytes(std::span(graph->element_levels_.data(), rows)));
  std::vector<int> levels(graph->element_levels_.begin(),
                          graph->element_levels_.begin() + static_cast<std::ptrdiff_t>(rows));
  std::fill(graph->element_levels_.begin(), graph->element_levels_.end(),
            0);  // until its links are there a row has none
  graph->cur_element_count = rows;
  std::unordered_set<PassageId> ids;
  for (std::uint32_t row = 0; row < rows; ++row) {
    graph->linkLists_[row] = nullptr;
    if (levels[row] < 0 || levels[row] > top_level) reader.damaged(message("row ", row, " is on level ", levels[row]));
    const std::size_t bytes = static_cast<std::size_t>(levels[row]) * graph->size_links_per_element_;
    if (bytes > 0) {
      if (bytes > reader.left()) reader.damaged("is cut short");
      graph->linkLists_[row] = static_cast<char*>(std::malloc(bytes));
      if (!graph->linkLists_[row]) throw std::bad_alloc();
      graph->element_levels_[row] = levels[row];
      reader.read(std::as_writable_bytes(std::span(graph->linkLists_[row], bytes)));
    }
    const PassageId id = graph->id(row);
    if (id < 1 || !ids.insert(id).second) reader.damaged(message("passage ", id, " stands there twice or is none"));
    graph->label_lookup_[static_cast<hnswlib::labeltype>(id)] = row;
    if (graph->is_marked(row)) graph->num_deleted_ += 1;
  }
  const std::uint64_t sum = reader.sum();
  if (reader.left() != sizeof sum || reader.number<std::uint64_t>() != sum) reader.damaged("the checksum does not fit");
  if (rows > 0 && (entry >= rows || levels[entry] != top_level)) reader.damaged(message("row ", entry, " is no entry"));
  graph->maxlevel_ = rows > 0 ? top_level : -1;
  graph->enterpoint_node_ = rows > 0 ? entry : static_cast<hnswlib::tableint>(-1);
  detail::check_links(*graph, reader);
  std::vector<float> vector(detail::padded_width(space.width));
  for (std::uint32_t row = 0; row < rows; ++row) {
    std::memcpy(vector.data(), graph->vector(row), vector.size() * sizeof(float));
    if (!std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); }))
      reader.damaged(message("the vector of row ", row, " is not finite"));
  }
  out.graph_ = std::move(graph);
  return {std::move(out), std::move(stamp)};
}

}  // namespace graft
