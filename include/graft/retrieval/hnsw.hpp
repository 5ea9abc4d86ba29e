#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/index.hpp"

namespace graft {

namespace detail {
class HnswGraph;
}

/// Size and care of the graph. The defaults find 0.95 of the ten nearest among 100,000 sentence vectors.
struct HnswOptions {
  std::size_t links = 16;  ///< M: neighbours of a vector on the upper levels, twice as many on the lowest; 2 to 200
  std::size_t ef_construction = 200;  ///< candidates looked at when one is added; `links` to 10000
  std::size_t ef_search = 64;  ///< candidates looked at by a search; larger finds more and takes longer; 1 to 10000
  unsigned threads = 0;        ///< of add(); 0: one for each core
};

/// Walks a graph of near neighbours: a small part of all vectors is compared, and now and then a near one is missed.
///
/// As many results as ExactIndex gives always come back, also under a filter and after removals: where the filter
/// leaves few vectors, or the walk finds too few that it lets through, those vectors are all compared. Removed vectors
/// are marked; once half are, the graph is built anew. Built with hnswlib (0.6.2 or newer). Source: Malkov and
/// Yashunin, arXiv:1603.09320.
class HnswIndex : public VectorIndex {
 public:
  /// Throws OptionError for a space without model or width, or options outside their ranges.
  explicit HnswIndex(VectorSpace space, HnswOptions options = {});
  GRAFT_INLINE ~HnswIndex() override;
  HnswIndex(HnswIndex&&) noexcept;
  HnswIndex& operator=(HnswIndex&&) noexcept;

  const VectorSpace& space() const override { return space_; }
  GRAFT_INLINE std::size_t size() const override;
  GRAFT_INLINE bool contains(PassageId id) const override;
  GRAFT_INLINE std::vector<PassageId> ids() const override;
  GRAFT_INLINE void add(std::span<const PassageId> ids, std::span<const float> vectors) override;
  GRAFT_INLINE void remove(std::span<const PassageId> ids) override;
  GRAFT_INLINE std::vector<std::vector<Scored>> search(std::span<const float> queries, std::size_t k,
                                                       const std::vector<PassageId>* allowed = nullptr) const override;

  /// Changes how many candidates a search looks at. Throws OptionError outside 1 to 10000.
  void set_ef_search(std::size_t ef_search);

  /// Writes the graph to a file, whole or not at all. `stamp` says what it was made of: Snapshot::stamp().
  /// Throws FileError with the old file in place.
  void save(const std::filesystem::path& path, std::string_view stamp) const;

  /// A saved graph and its stamp. Throws FileError if the file cannot be read, and FormatError if it is not whole, or
  /// of another space or other options; it is a cache, so the remedy is to build it again. Every size, link and number
  /// is checked before it is used: a damaged file is an error and never a wrong read.
  static std::pair<HnswIndex, std::string> load(const std::filesystem::path& path, const VectorSpace& space,
                                                HnswOptions options = {});

 private:
  std::vector<Scored> walk(const float* query, std::size_t k, const std::vector<PassageId>* allowed,
                           std::size_t possible) const;
  std::vector<Scored> compare_all(const float* query, std::size_t k, const std::vector<std::uint32_t>& rows) const;

  VectorSpace space_;
  HnswOptions options_;
  std::unique_ptr<detail::HnswGraph> graph_;
};

}  // namespace graft

// Without hnswlib's headers (Debian: libhnswlib-dev) the class is declared only: a program that uses it does not link.
#ifndef GRAFT_COMPILED
#if __has_include(<hnswlib/hnswlib.h>)
#include "graft/retrieval/hnsw-inl.hpp"
#endif
#endif
