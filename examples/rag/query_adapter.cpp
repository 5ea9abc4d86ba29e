#include "query_adapter.hpp"

#include <filesystem>

#include "graft/core/error.hpp"

QueryAdapter::QueryAdapter(const std::string& path, const std::string& model, const graft::Embedder& embedder) {
  if (std::filesystem::is_directory(path)) {
    adapted_.emplace(model, graft::EmbedderOptions{.adapter = path});
    return;
  }
  map_ = graft::QueryMap::load(path);
  if (map_->space() != embedder.space())
    throw graft::OptionError(graft::message(graft::quoted(path), " maps questions for vectors of model ",
                                            graft::quoted(map_->space().model), ", but the model is ",
                                            graft::quoted(embedder.space().model), "; name the other with --model"));
}

const std::string& QueryAdapter::fingerprint() const { return map_ ? map_->fingerprint() : adapted_->space().model; }

std::vector<float> QueryAdapter::vector(const std::string& question, const std::vector<float>& vector) const {
  return map_ ? map_->apply(vector) : adapted_->query(question);
}
