#include "questions.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "cli.hpp"
#include "graft/core/error.hpp"
#include "graft/retrieval/query_map.hpp"
#include "models.hpp"
#include "store.hpp"

namespace {

/// Throws OptionError for a map of vectors that the store does not have. What an adapter is of shows when it is loaded.
void check_fits(const std::string& adapter, graft::Store& store) {
  if (std::filesystem::is_directory(adapter)) return;
  const graft::QueryMap map = graft::QueryMap::load(adapter);
  const std::vector<graft::VectorSpace> spaces = store.read()->spaces();
  if (std::find(spaces.begin(), spaces.end(), map.space()) == spaces.end())
    throw graft::OptionError(graft::message(graft::quoted(adapter), " maps questions for vectors of model ",
                                            graft::quoted(map.space().model), ", which the store ",
                                            graft::quoted(store.name()),
                                            " does not have; use the map that was trained for its model"));
}

}  // namespace

SearchMode mode_named(const std::string& name) {
  return name == "bm25" ? SearchMode::bm25 : name == "dense" ? SearchMode::dense : SearchMode::hybrid;
}

void QuestionOptions::add_to(CLI::App& command) {
  add_encoding_to(command);
  auto* reranker = command.add_option("--rerank", rerank,
                                      "directory of a cross-encoder, which reads question and passage together and "
                                      "puts the hits in order, by weights that it has learned or alone");
  command.add_option("--rerank-depth", rerank_depth, "hits that it reads; others fall out")
      ->check(whole_number(1, 10'000))
      ->needs(reranker)
      ->capture_default_str();
  command.add_option("--least-score", least_score, "leave out what it gives less than this")->needs(reranker);
  command
      .add_option("--rerank-weight", rerank_weight,
                  "of its score in the order of the hits that it reads; this and the next two unless given what it has "
                  "learned of the search, else it decides alone")
      ->needs(reranker);
  command.add_option("--rerank-vector-weight", rerank_vector_weight, "of the similarity by vector in that order")
      ->needs(reranker);
  command.add_option("--rerank-word-weight", rerank_word_weight, "of the score by word in that order")->needs(reranker);
}

void QuestionOptions::add_encoding_to(CLI::App& command) {
  command.add_option("--query-adapter", adapter, "map of questions or adapter that retriever_finetune has written");
  command.add_option("--vector-weight", vector_weight, "of the ranking by vector, when both are joined");
  command.add_option("--word-weight", word_weight, "and of that by word; unless given what the store has learned");
  command.add_option("--rank-constant", rank_constant, "of the join: the smaller, the more the first places count");
}

Search::Search(const std::string& name, const std::string& model, bool vectors, const QuestionOptions& options)
    : store_(open_store(name, false)), rerank_depth_(options.rerank_depth), least_score_(options.least_score) {
  if (!options.rerank.empty()) {
    reranker_.emplace(options.rerank);
    rerank_weights_ = reranker_->model().rerank_weights();
    rerank_weights_.reranker = options.rerank_weight.value_or(rerank_weights_.reranker);
    rerank_weights_.vector = options.rerank_vector_weight.value_or(rerank_weights_.vector);
    rerank_weights_.word = options.rerank_word_weight.value_or(rerank_weights_.word);
    graft::check_rerank_weights(rerank_weights_);
  }
  graft::RetrieverOptions retriever;
  if (vectors) {
    const std::string directory = model_of(*store_, model);
    embedder_.emplace(directory);
    if (!options.adapter.empty()) {
      check_fits(options.adapter, *store_);
      adapter_.emplace(options.adapter, directory, *embedder_);
    }
    retriever.space = embedder_->space();
    retriever.index_file = index_file(name);
    const auto snapshot = store_->read();
    const auto join = [&](std::string_view encoder) {
      const auto known = graft::find_query_encoder(*snapshot, *retriever.space, encoder);
      if (!known && !encoder.empty())
        throw graft::OptionError(graft::message(
            "the store ", graft::quoted(name), " does not know ", graft::quoted(options.adapter), " (", encoder,
            "): it was trained with another store; train one with this store, or let it be used here with: rag allow"));
      graft::JoinWeights out = known && known->join ? *known->join : graft::JoinWeights();
      out.vector = options.vector_weight.value_or(out.vector);
      out.word = options.word_weight.value_or(out.word);
      out.rank_constant = options.rank_constant.value_or(out.rank_constant);
      return out;
    };
    plain_join_ = join("");
    if (adapter_) adapted_join_ = join(adapter_->fingerprint());
  }
  retriever_.emplace(*store_, retriever);
  if (vectors && !model.empty()) note_model(embedder_->space().model, model);
}

void Search::set_mode(graft::Query& query, SearchMode mode, std::vector<float> vector, bool adapted,
                      bool reranked) const {
  adapted = adapted && adapter_;
  if (reranked && reranker_) {
    reranker_->rerank(query, rerank_weights_, least_score_);
    query.rerank_depth = rerank_depth_;
    query.depth = std::max(query.depth, rerank_depth_);
  }
  if (mode != SearchMode::bm25) {
    query.vector = vector.empty() ? embedder_->query(query.text) : std::move(vector);
    if (adapted) {
      query.vector = adapter_->vector(query.text, query.vector);
      query.encoder = adapter_->fingerprint();
    }
    const graft::JoinWeights& join = adapted ? adapted_join_ : plain_join_;
    query.vector_weight = join.vector;
    query.word_weight = join.word;
    query.rank_constant = join.rank_constant;
  }
  if (mode == SearchMode::dense) query.text.clear();
}

int run_allow(const AllowOptions& options) {
  const auto store = open_store(options.store, false);
  check_fits(options.adapter, *store);
  graft::VectorSpace space;
  std::string fingerprint;
  if (std::filesystem::is_directory(options.adapter)) {
    const std::string directory = model_of(*store, "");
    space = graft::Embedder(directory).space();
    fingerprint = graft::Embedder(directory, {.adapter = options.adapter}).space().model;
  } else {
    const graft::QueryMap map = graft::QueryMap::load(options.adapter);
    space = map.space();
    fingerprint = map.fingerprint();
  }
  const auto writer = store->write();
  if (graft::find_query_encoder(*writer, space, fingerprint)) {
    std::printf("the store knows %s already\n", fingerprint.c_str());
    return 0;
  }
  graft::put_query_encoder(*writer, space, {fingerprint});
  writer->commit();
  std::printf("questions of the store may now be encoded by %s\n", fingerprint.c_str());
  return 0;
}
