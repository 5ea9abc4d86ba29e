#pragma once

#include <algorithm>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/hash.hpp"
#include "graft/retrieval/ingest.hpp"

namespace graft {

namespace detail {

class Ingest {
 public:
  Ingest(Store& store, const Chunker& chunker, const PassageModel* model, const IngestOptions& options)
      : store_(store),
        chunker_(chunker),
        cutting_(chunker.name()),
        model_(model),
        options_(options),
        given_(options.given ? *options.given : own_given_) {
    if (options.batch < 1) throw OptionError("an ingest has batches of 0 passages; choose 1 or more");
    if (model_) {
      check_space(model_->space);
      if (!model_->embed)
        throw OptionError(message("model ", quoted(model_->space.model), " has no function to embed with"));
      auto writer = store_.write();
      writer->add_space(model_->space);
      writer->commit();
    }
  }

  IngestReport run(const std::function<std::optional<Document>()>& next) {
    while (true) {
      if (options_.stop && options_.stop()) {
        report_.stopped = true;
        return report_;
      }
      std::optional<Document> document = next();
      if (!document) break;
      take(*std::move(document));
      if (texts_.size() >= options_.batch || batch_.size() >= options_.batch) flush();
    }
    flush();
    return report_;
  }

 private:
  enum class Work { add, replace, update, complete };  // the latter two keep the passages
  struct Item {
    Document document;
    Work work;
    std::vector<PassageRange> ranges;
    std::vector<std::int64_t> rows = {};  // of the ranges' vectors: n of what texts_ give, ~n of kept_; or none to put
  };

  void take(Document document) {
    std::vector<PassageRange> ranges;
    std::optional<StoredDocument> stored;
    bool same_text = false;
    try {
      if (!snapshot_) snapshot_ = store_.read();
      stored = snapshot_->find(document.uri);
      check_given_once(document, stored);
      store_.check_document(document);
      same_text = stored && stored->cutting == cutting_ && stored->hash == sha256(document.text);
      if (!same_text) ranges = chunker_.cut(document.text);
    } catch (const OptionError& error) {
      if (!options_.refused) throw;
      options_.refused(document, error);
      ++report_.refused;
      return;
    }
    if (same_text) return complete(std::move(document), *stored);
    const bool replaces = stored && model_;
    add({std::move(document), stored ? Work::replace : Work::add, std::move(ranges)},
        replaces ? embedded_passages(snapshot_->passages_of(stored->id)) : EmbeddedPassages());
  }

  /// Passages that have a vector, by what it was made of.
  using EmbeddedPassages = std::unordered_map<std::string, PassageId>;
  EmbeddedPassages embedded_passages(const std::vector<Passage>& passages) {
    std::vector<PassageId> lacking = snapshot_->without_vectors(model_->space, ids_of(passages));
    std::sort(lacking.begin(), lacking.end());
    EmbeddedPassages out;
    for (const Passage& passage : passages)
      if (!std::binary_search(lacking.begin(), lacking.end(), passage.id))
        out.emplace(searchable(passage.range.heading, passage.text), passage.id);
    return out;
  }

  static const std::string& source_of(const Document& document) {
    return document.source.empty() ? document.uri : document.source;
  }

  /// Throws OptionError if the uri names another document too.
  void check_given_once(const Document& document, const std::optional<StoredDocument>& stored) {
    if (document.uri.empty()) return;  // which no store takes
    const std::string& source = source_of(document);
    if (const auto first = given_.find(document.uri); first != given_.end())
      throw OptionError(message("document ", quoted(document.uri), " of ", quoted(source), " was already given by ",
                                first->second == source ? "the same source" : quoted(first->second),
                                "; give one of them another name"));
    if (stored && stored->source != source && options_.still_there && options_.still_there(stored->source))
      throw OptionError(message("document ", quoted(document.uri), " of ", quoted(source), " is already there from ",
                                quoted(stored->source), "; give one of them another name, or remove the other"));
    given_.emplace(document.uri, source);
  }

  /// The passages are there; what else is missing?
  void complete(Document document, const StoredDocument& stored) {
    const std::vector<Passage> passages = snapshot_->passages_of(stored.id);
    const bool same = stored.metadata == document.metadata && stored.modified == document.modified &&
                      (document.source.empty() || stored.source == document.source);
    const bool embedded = !model_ || snapshot_->without_vectors(model_->space, ids_of(passages)).empty();
    if (same && embedded) {
      ++report_.unchanged;
      return;
    }
    Item item{std::move(document), same ? Work::complete : Work::update, {}};
    for (const Passage& passage : passages) item.ranges.push_back(passage.range);
    if (embedded)
      batch_.push_back(std::move(item));
    else
      add(std::move(item), embedded_passages(passages));
  }

  static std::vector<PassageId> ids_of(const std::vector<Passage>& passages) {
    std::vector<PassageId> out;
    for (const Passage& passage : passages) out.push_back(passage.id);
    return out;
  }

  /// Puts the item into the batch, with a vector for each passage: one that `there` has, or one to be made.
  void add(Item item, const EmbeddedPassages& there) {
    for (const PassageRange& range : item.ranges) {
      if (!model_) break;
      std::string text =
          searchable(range.heading, std::string_view(item.document.text).substr(range.begin, range.end - range.begin));
      if (const auto found = there.find(text); found != there.end()) {
        const std::vector<float> vector = snapshot_->vectors(model_->space, std::vector{found->second});
        item.rows.push_back(~(static_cast<std::int64_t>(kept_.size()) / model_->space.width));
        kept_.insert(kept_.end(), vector.begin(), vector.end());
      } else {
        item.rows.push_back(static_cast<std::int64_t>(texts_.size()));
        texts_.push_back(std::move(text));
      }
    }
    batch_.push_back(std::move(item));
  }

  void flush() {
    if (batch_.empty()) return;
    std::vector<float> vectors;
    if (!texts_.empty()) {
      vectors = model_->embed(texts_);
      check_vectors(model_->space, texts_.size(), vectors, "vector");
    }
    snapshot_.reset();  // so that a long run does not keep the log of the store from being folded in
    IngestReport report = report_;
    auto writer = store_.write();
    for (const Item& item : batch_) write(*writer, item, vectors, report);
    writer->commit();
    report.embedded += texts_.size();
    report_ = report;
    batch_.clear();
    texts_.clear();
    kept_.clear();
    if (options_.progress) options_.progress(report_);
  }

  void write(Writer& writer, const Item& item, const std::vector<float>& vectors, IngestReport& report) const {
    std::vector<PassageId> ids;
    const bool kept = (item.work == Work::update || item.work == Work::complete) && still_there(writer, item, ids);
    if (kept) {
      if (item.work == Work::update)
        writer.set_metadata(item.document.uri, item.document.metadata, item.document.modified, item.document.source);
    } else {
      ids = writer.put(item.document, item.ranges, cutting_);
      report.passages += ids.size();
    }
    if (!item.rows.empty()) put_vectors(writer, item, ids, vectors);
    ++(item.work == Work::add ? report.added : item.work == Work::complete ? report.completed : report.changed);
  }

  void put_vectors(Writer& writer, const Item& item, const std::vector<PassageId>& ids,
                   const std::vector<float>& vectors) const {
    const auto width = static_cast<std::size_t>(model_->space.width);
    const std::vector<PassageId> missing = writer.without_vectors(model_->space, ids);
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (std::binary_search(missing.begin(), missing.end(), ids[i])) {
        const bool made = item.rows[i] >= 0;
        const auto row = static_cast<std::size_t>(made ? item.rows[i] : ~item.rows[i]);
        writer.put_vectors(model_->space, std::span(ids).subspan(i, 1),
                           std::span(made ? vectors : kept_).subspan(row * width, width));
      }
  }

  /// Whether no other writer has changed the document since it was looked at; then gives its passages.
  bool still_there(Writer& writer, const Item& item, std::vector<PassageId>& ids) const {
    const auto stored = writer.find(item.document.uri);
    if (!stored || stored->cutting != cutting_ || stored->hash != sha256(item.document.text)) return false;
    ids = ids_of(writer.passages_of(stored->id));
    return ids.size() == item.ranges.size();
  }

  Store& store_;
  const Chunker& chunker_;
  const std::string cutting_;
  const PassageModel* model_;
  const IngestOptions& options_;
  GivenDocuments own_given_;
  GivenDocuments& given_;
  IngestReport report_;
  std::unique_ptr<Snapshot> snapshot_;
  std::vector<Item> batch_;
  std::vector<std::string> texts_;
  std::vector<float> kept_;
};

}  // namespace detail

GRAFT_INLINE IngestReport ingest(Store& store, const Chunker& chunker, const PassageModel* model,
                                 const std::function<std::optional<Document>()>& next, const IngestOptions& options) {
  return detail::Ingest(store, chunker, model, options).run(next);
}

GRAFT_INLINE IngestReport ingest(Store& store, const Chunker& chunker, const PassageModel* model,
                                 std::span<const Document> documents, const IngestOptions& options) {
  std::size_t at = 0;
  return ingest(
      store, chunker, model,
      [&]() -> std::optional<Document> {
        return at < documents.size() ? std::optional(documents[at++]) : std::nullopt;
      },
      options);
}

}  // namespace graft
