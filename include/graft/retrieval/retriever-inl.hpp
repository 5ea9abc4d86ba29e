#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/retrieval/fusion.hpp"
#include "graft/retrieval/query_encoders.hpp"
#include "graft/retrieval/retriever.hpp"

namespace graft {

struct Retriever::Candidate {
  PassageId id = 0;
  double score = 0;
  std::optional<double> similarity = {}, word_score = {}, rerank_score = {};
};

namespace detail {

GRAFT_INLINE void check_query(const Query& query, const std::optional<VectorSpace>& space) {
  if (query.text.empty() && query.vector.empty())
    throw OptionError("a query has neither text nor vector; give at least one");
  if (!query.vector.empty()) {
    if (!space)
      throw OptionError("a query has a vector, but the retriever searches words alone; name a space in its options");
    check_vectors(*space, 1, query.vector, "query");
  }
  if (query.diversity && (query.vector.empty() || !(*query.diversity >= 0 && *query.diversity <= 1)))
    throw OptionError(message("diversity is ", *query.diversity,
                              query.vector.empty() ? " in a query without a vector" : "",
                              "; it needs a vector and a number from 0 to 1"));
  if (query.least_similarity && query.vector.empty())
    throw OptionError("least_similarity is set in a query without a vector");
  if (query.neighbours < 0) throw OptionError(message("neighbours is ", query.neighbours, "; choose 0 or more"));
  if (query.rerank && query.rerank_depth == 0) throw OptionError("rerank_depth is 0; choose 1 or more");
  check_rerank_weights(query.rerank_weights);
  if (!query.encoder.empty() && query.vector.empty())
    throw OptionError("encoder is set in a query without a vector; give the vector that it made");
  for (const double weight : {query.vector_weight, query.word_weight})
    if (!(weight >= 0) || !std::isfinite(weight))
      throw OptionError(message("a weight of the fusion is ", weight, "; choose 0 or more"));
}

GRAFT_INLINE double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

/// Throws OptionError if the vector of `query` was made by something that the store does not know for `space`.
GRAFT_INLINE void check_encoder(Snapshot& snapshot, const std::string& store, const VectorSpace& space,
                                const Query& query) {
  if (query.encoder.empty() || query.encoder == space.model) return;
  std::string known;
  for (const QueryEncoder& encoder : query_encoders(snapshot, space)) {
    if (encoder.fingerprint == query.encoder) return;
    if (!encoder.fingerprint.empty()) known += message(known.empty() ? "" : ", ", quoted(encoder.fingerprint));
  }
  throw OptionError(message(store, ": does not know ", quoted(query.encoder),
                            " as an encoder of questions for vectors ", "of model ", quoted(space.model), ", but ",
                            known.empty() ? "none" : known,
                            "; train one on this store, or let this one be used with put_query_encoder()"));
}

/// How many hits each document has, against the number it may have; 0: any.
class DocumentQuota {
 public:
  explicit DocumentQuota(std::size_t most) : most_(most) {}
  bool has_room(DocumentId document) const {
    const auto found = taken_.find(document);
    return most_ == 0 || found == taken_.end() || found->second < most_;
  }
  void take(DocumentId document) { ++taken_[document]; }

 private:
  std::size_t most_;
  std::unordered_map<DocumentId, std::size_t> taken_;
};

/// Chooses up to `wanted` of `passages` by MMR; `rows` [passages.size(), width] are their vectors.
GRAFT_INLINE std::vector<std::size_t> choose_diverse(std::span<const float> query, std::span<const float> rows,
                                                     const std::vector<Passage>& passages, double lambda,
                                                     std::size_t wanted, DocumentQuota quota) {
  const std::size_t width = query.size(), count = passages.size();
  const auto row = [&](std::size_t i) { return rows.subspan(i * width, width); };
  std::vector<double> relevance(count), repeated(count, -std::numeric_limits<double>::infinity());
  for (std::size_t i = 0; i < count; ++i) relevance[i] = cosine(query, row(i));
  std::vector<bool> used(count);
  std::vector<std::size_t> out;
  while (out.size() < wanted) {
    std::size_t best = count;
    double best_value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (used[i] || !quota.has_room(passages[i].document)) continue;
      const double value = lambda * relevance[i] - (out.empty() ? 0 : (1 - lambda) * repeated[i]);
      if (best == count || value > best_value) best = i, best_value = value;
    }
    if (best == count) break;
    used[best] = true;
    quota.take(passages[best].document);
    out.push_back(best);
    for (std::size_t i = 0; i < count; ++i)
      if (!used[i]) repeated[i] = std::max(repeated[i], cosine(row(best), row(i)));
  }
  return out;
}

/// Chooses the first `wanted` that their documents have room for.
GRAFT_INLINE std::vector<std::size_t> choose_first(const std::vector<Passage>& passages, std::size_t wanted,
                                                   DocumentQuota quota) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < passages.size() && out.size() < wanted; ++i) {
    if (!quota.has_room(passages[i].document)) continue;
    quota.take(passages[i].document);
    out.push_back(i);
  }
  return out;
}

/// Puts the candidates in the order of the reranker's scores, joined with the search's by their weights.
template <class Candidate>
void rerank(const Query& query, const std::vector<Passage>& passages, std::vector<Candidate>& candidates) {
  std::vector<std::string> texts;
  for (const Passage& passage : passages) texts.push_back(searchable(passage.range.heading, passage.text));
  const std::vector<double> scores = query.rerank(query.text, texts);
  if (scores.size() != candidates.size())
    throw ShapeError(message("the reranker gave ", scores.size(), " scores for ", candidates.size(), " passages"));
  std::vector<RerankScores> known;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!std::isfinite(scores[i]))
      throw OptionError(message("the reranker gave passage ", candidates[i].id, " the score ", scores[i]));
    candidates[i].rerank_score = scores[i];
    known.push_back({scores[i], candidates[i].similarity, candidates[i].word_score});
  }
  const std::vector<double> joined = join_reranked(known, query.rerank_weights);
  for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i].score = joined[i];
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
}

GRAFT_INLINE void add_context(Snapshot& snapshot, std::int64_t neighbours, Hit& hit) {
  hit.context_begin = hit.passage.range.begin;
  hit.context_end = hit.passage.range.end;
  hit.context = hit.passage.text;
  if (neighbours == 0) return;
  const std::int64_t first = hit.passage.order - std::min(neighbours, hit.passage.order);
  const std::int64_t last = hit.passage.order + std::min(neighbours, INT64_MAX - hit.passage.order);
  for (const Passage& near : snapshot.passages_of(hit.document.id, first, last)) {
    hit.context_begin = std::min(hit.context_begin, near.range.begin);
    hit.context_end = std::max(hit.context_end, near.range.end);
  }
  hit.context = snapshot.text(hit.document.id, hit.context_begin, hit.context_end);
}

/// The best `depth` of a ranking in which no document has more than `per_document` passages; 0: any number.
/// `ranking(k)` gives its first k: more are asked for until there are enough, or no more.
template <class Ranking>
std::vector<Scored> spread(Snapshot& snapshot, std::size_t depth, std::size_t per_document, const Ranking& ranking) {
  if (per_document == 0) return ranking(depth);
  for (std::size_t k = depth;; k *= 4) {
    const std::vector<Scored> found = ranking(k);
    std::vector<PassageId> ids;
    for (const Scored& entry : found) ids.push_back(entry.id);
    const std::vector<DocumentId> documents = snapshot.documents_of(ids);
    DocumentQuota quota(per_document);
    std::vector<Scored> out;
    for (std::size_t i = 0; i < found.size() && out.size() < depth; ++i) {
      if (!quota.has_room(documents[i])) continue;
      quota.take(documents[i]);
      out.push_back(found[i]);
    }
    if (out.size() == depth || found.size() < k || k > SIZE_MAX / 4) return out;
  }
}

}  // namespace detail

GRAFT_INLINE Retriever::Retriever(Store& store, RetrieverOptions options)
    : store_(store), options_(std::move(options)) {
  if (!options_.space) return;
  check_space(*options_.space);
  const auto snapshot = store_.read();
  const std::vector<VectorSpace> spaces = snapshot->spaces();
  if (std::find(spaces.begin(), spaces.end(), *options_.space) == spaces.end()) {
    std::string known;
    for (const VectorSpace& space : spaces)
      known += message(known.empty() ? "" : ", ", quoted(space.model), " (", space.width, ", ",
                       metric_name(space.metric), ")");
    throw OptionError(message(store_.name(), ": has no vectors of model ", quoted(options_.space->model), " (",
                              options_.space->width, ", ", metric_name(options_.space->metric), "), but of ",
                              known.empty() ? "none" : known,
                              "; search with the model that the documents were embedded with"));
  }
  open_index(*snapshot);
}

GRAFT_INLINE void Retriever::open_index(Snapshot& snapshot) {
  if (snapshot.searches_vectors()) {
    reason_ = "the store's own: it searches its vectors itself";
    return;
  }
  const std::size_t count = snapshot.vector_ids(*options_.space).size();
  if (count <= options_.exact_up_to) {
    index_ = std::make_unique<ExactIndex>(*options_.space, ExactOptions{options_.storage, options_.threads});
    reason_ = message("exact: ", count, " vectors are at most the ", options_.exact_up_to, " of exact_up_to");
  } else {
    const std::string many =
        message("graph: ", count, " vectors are more than the ", options_.exact_up_to, " of exact_up_to");
    reason_ = many + "; built";
    if (!options_.index_file.empty()) try {
        auto [saved, stamp] = HnswIndex::load(options_.index_file, *options_.space, options_.hnsw);
        if (snapshot.follows(stamp)) {
          index_ = std::make_unique<HnswIndex>(std::move(saved));
          reason_ = many + "; read from its file";
        } else {
          reason_ = many + "; built, since its file is not of this store";
        }
      } catch (const Error& error) {
        reason_ = many + "; built, since: " + error.what();
      }
    if (!index_) index_ = std::make_unique<HnswIndex>(*options_.space, options_.hnsw);
  }
  follow(snapshot);
}

GRAFT_INLINE void Retriever::save_index() const {
  const std::shared_lock lock(mutex_);
  const auto* graph = dynamic_cast<const HnswIndex*>(index_.get());
  if (!graph) return;
  if (options_.index_file.empty()) throw OptionError("the option \"index_file\" names no file to save the index in");
  graph->save(options_.index_file, stamp_);
}

/// Ids are never used twice and a passage never changes, so what to do follows from the ids alone.
GRAFT_INLINE void Retriever::follow(Snapshot& snapshot) {
  const std::vector<PassageId> wanted = snapshot.vector_ids(*options_.space);
  std::vector<PassageId> have = index_->ids(), gone, fresh;
  std::sort(have.begin(), have.end());
  std::set_difference(have.begin(), have.end(), wanted.begin(), wanted.end(), std::back_inserter(gone));
  std::set_difference(wanted.begin(), wanted.end(), have.begin(), have.end(), std::back_inserter(fresh));
  index_->remove(gone);
  constexpr std::size_t kTogether = 10'000;
  for (std::size_t i = 0; i < fresh.size(); i += kTogether) {
    const auto part = std::span(fresh).subspan(i, std::min(kTogether, fresh.size() - i));
    index_->add(part, snapshot.vectors(*options_.space, part));
  }
  generation_ = snapshot.generation();
  stamp_ = snapshot.stamp();
}

GRAFT_INLINE std::vector<Hit> Retriever::search(const Query& query) {
  detail::check_query(query, options_.space);
  if (query.vector.empty() || !index_) return answer(*store_.read(), query);
  {
    const std::shared_lock lock(mutex_);
    const auto snapshot = store_.read();
    if (snapshot->generation() == generation_) return answer(*snapshot, query);
  }
  const std::unique_lock lock(mutex_);
  const auto snapshot = store_.read();
  if (snapshot->generation() != generation_) follow(*snapshot);
  return answer(*snapshot, query);
}

GRAFT_INLINE std::vector<Retriever::Candidate> Retriever::candidates(Snapshot& snapshot, const Query& query) const {
  const std::size_t depth = std::max(query.depth, query.top);
  const Filter* filter = query.filter ? &*query.filter : nullptr;
  std::vector<Scored> near, words;
  if (!query.vector.empty()) {
    std::vector<PassageId> allowed;
    if (filter && index_) allowed = snapshot.matching(*filter);
    near = detail::spread(snapshot, depth, query.per_document, [&](std::size_t k) {
      return index_ ? index_->search(query.vector, k, filter ? &allowed : nullptr)[0]
                    : snapshot.search_vectors(*options_.space, query.vector, k, filter);
    });
    if (query.least_similarity)
      std::erase_if(near, [&](const Scored& entry) { return entry.score < *query.least_similarity; });
  }
  if (!query.text.empty())
    words = detail::spread(snapshot, depth, query.per_document,
                           [&](std::size_t k) { return snapshot.search_words(query.text, k, filter); });

  std::vector<Scored> ranked = query.vector.empty() ? words : near;
  if (!query.vector.empty() && !query.text.empty())
    ranked = reciprocal_rank_fusion(std::vector<RankedList>{{near, query.vector_weight}, {words, query.word_weight}},
                                    query.rank_constant);
  std::unordered_map<PassageId, double> similarity, word_score;
  for (const Scored& entry : near) similarity.emplace(entry.id, entry.score);
  for (const Scored& entry : words) word_score.emplace(entry.id, entry.score);
  std::vector<Candidate> out;
  for (const Scored& entry : ranked) {
    Candidate candidate{entry.id, entry.score};
    if (const auto found = similarity.find(entry.id); found != similarity.end()) candidate.similarity = found->second;
    if (const auto found = word_score.find(entry.id); found != word_score.end()) candidate.word_score = found->second;
    out.push_back(candidate);
  }
  return out;
}

GRAFT_INLINE std::vector<Hit> Retriever::answer(Snapshot& snapshot, const Query& query) const {
  if (options_.space) detail::check_encoder(snapshot, store_.name(), *options_.space, query);
  std::vector<Candidate> found = candidates(snapshot, query);
  const auto ids = [&] {
    std::vector<PassageId> out;
    for (const Candidate& candidate : found) out.push_back(candidate.id);
    return out;
  };
  if (query.rerank) {
    found.resize(std::min(found.size(), query.rerank_depth));
    if (!found.empty()) detail::rerank(query, snapshot.passages(ids()), found);
  }
  if (query.least_score)
    std::erase_if(found, [&](const Candidate& candidate) {
      return candidate.rerank_score.value_or(candidate.score) < *query.least_score;
    });
  const bool chooses = query.diversity || query.per_document > 0;
  if (!chooses) found.resize(std::min(found.size(), query.top));

  std::vector<Passage> passages = snapshot.passages(ids());
  const detail::DocumentQuota quota(query.per_document);
  const std::vector<std::size_t> chosen =
      query.diversity ? detail::choose_diverse(query.vector, snapshot.vectors(*options_.space, ids()), passages,
                                               *query.diversity, query.top, quota)
                      : detail::choose_first(passages, query.top, quota);
  std::vector<Hit> out;
  for (const std::size_t i : chosen) {
    Hit hit;
    hit.document = snapshot.documents(std::vector{passages[i].document})[0];
    hit.passage = std::move(passages[i]);
    hit.score = found[i].score;
    hit.similarity = found[i].similarity;
    hit.word_score = found[i].word_score;
    hit.rerank_score = found[i].rerank_score;
    detail::add_context(snapshot, query.neighbours, hit);
    out.push_back(std::move(hit));
  }
  return out;
}

GRAFT_INLINE std::string Retriever::index_reason() const {
  if (!options_.space) return "words alone: no vector space was named";
  const std::shared_lock lock(mutex_);
  return reason_;
}

GRAFT_INLINE std::size_t Retriever::indexed() const {
  const std::shared_lock lock(mutex_);
  return index_ ? index_->size() : 0;
}

}  // namespace graft
