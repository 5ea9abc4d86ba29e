#include "questions.hpp"

#include "models.hpp"
#include "store.hpp"

SearchMode mode_named(const std::string& name) {
  return name == "bm25" ? SearchMode::bm25 : name == "dense" ? SearchMode::dense : SearchMode::hybrid;
}

Search::Search(const std::string& name, const std::string& model, bool vectors) : store_(open_store(name, false)) {
  graft::RetrieverOptions options;
  if (vectors) {
    embedder_.emplace(model_of(*store_, model));
    options.space = embedder_->space();
    options.index_file = index_file(name);
  }
  retriever_.emplace(*store_, options);
  if (vectors && !model.empty()) note_model(embedder_->space().model, model);
}

void Search::set_mode(graft::Query& query, SearchMode mode, std::vector<float> vector) const {
  if (mode != SearchMode::bm25) query.vector = vector.empty() ? embedder_->query(query.text) : std::move(vector);
  if (mode == SearchMode::dense) query.text.clear();
}
