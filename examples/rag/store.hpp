#pragma once

// The store that a command works on, and the model that was used for it.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/rag/embedder.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"

/// Throws if `create` is false and the store is not there.
inline std::unique_ptr<graft::Store> open_store(const std::string& name, bool create) {
  if (!create && !std::filesystem::exists(name))
    throw graft::OptionError(graft::message("there is no store ", graft::quoted(name), "; make it with: rag index"));
  return std::make_unique<graft::SqliteStore>(name, graft::SqliteStoreOptions{.create = create});
}

/// Beside the store, so that a search need not name the model again. It can be lost: --model says it as well.
inline std::filesystem::path model_note(const std::string& store) { return store + "-model.json"; }

inline void remember_model(const std::string& store, const std::filesystem::path& model) {
  const std::string text = graft::json_text({{"model", std::filesystem::canonical(model).string()}}) + "\n";
  const std::filesystem::path note = model_note(store);
  if (std::filesystem::exists(note) && graft::read_file(note, 1 << 16) == text) return;
  graft::write_file(note, text);
}

/// `given`, else the model that the store was indexed with.
inline std::string model_of(const std::string& store, const std::string& given) {
  if (!given.empty()) return given;
  const std::filesystem::path note = model_note(store);
  if (!std::filesystem::exists(note))
    throw graft::OptionError(
        graft::message("no model is known for the store ", graft::quoted(store), "; name its directory with --model"));
  const graft::Json json = graft::read_json(note);
  return graft::JsonFields(json, note.string()).text("model");
}

/// The graph of a large store, kept beside it.
inline std::filesystem::path index_file(const std::string& store) { return store + "-index"; }

/// What --mode says.
enum class SearchMode { hybrid, dense, bm25 };

inline SearchMode mode_named(const std::string& name) {
  return name == "bm25" ? SearchMode::bm25 : name == "dense" ? SearchMode::dense : SearchMode::hybrid;
}

/// A store open for questions, with the model that made its vectors unless only words are searched.
class Search {
 public:
  Search(const std::string& name, const std::string& model, bool vectors) : store_(open_store(name, false)) {
    graft::RetrieverOptions options;
    if (vectors) {
      embedder_.emplace(model_of(name, model));
      options.space = embedder_->space();
      options.index_file = index_file(name);
    }
    retriever_.emplace(*store_, options);
  }

  graft::Store& store() { return *store_; }
  graft::Retriever& retriever() { return *retriever_; }
  const graft::Embedder& embedder() const { return *embedder_; }

  /// Makes `query`, which has a text, one of `mode`; `vector` is the text's, if it is known already.
  void set_mode(graft::Query& query, SearchMode mode, std::vector<float> vector = {}) const {
    if (mode != SearchMode::bm25) query.vector = vector.empty() ? embedder_->query(query.text) : std::move(vector);
    if (mode == SearchMode::dense) query.text.clear();
  }

 private:
  std::unique_ptr<graft::Store> store_;
  std::optional<graft::Embedder> embedder_;
  std::optional<graft::Retriever> retriever_;
};
