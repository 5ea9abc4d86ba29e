#include "index.hpp"

#include <cmath>
#include <cstdio>
#include <set>

#include "documents.hpp"
#include "gone.hpp"
#include "graft/core/console.hpp"
#include "graft/rag/embedder.hpp"
#include "graft/retrieval/ingest.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "graft/training/interrupt.hpp"
#include "models.hpp"
#include "printing.hpp"
#include "progress.hpp"
#include "store.hpp"

namespace {

void add(graft::IngestReport& sum, const graft::IngestReport& part) {
  sum.added += part.added;
  sum.changed += part.changed;
  sum.completed += part.completed;
  sum.unchanged += part.unchanged;
  sum.passages += part.passages;
  sum.embedded += part.embedded;
  sum.stopped = part.stopped;
}

std::size_t documents_of(const graft::IngestReport& report) {
  return report.added + report.changed + report.completed + report.unchanged;
}

/// What the store has of these places and they have no more.
void settle_gone(graft::Store& store, const std::vector<graft::DocumentOrigin>& gone, bool prune) {
  if (gone.empty()) return;
  constexpr std::size_t kNamed = 20;
  for (std::size_t i = 0; i < gone.size() && i < kNamed; ++i)
    std::fprintf(stderr, "rag: no longer there: %s%s%s\n", one_line(gone[i].uri, 400).c_str(),
                 gone[i].source == gone[i].uri ? "" : ", of ",
                 gone[i].source == gone[i].uri ? "" : one_line(gone[i].source, 400).c_str());
  if (gone.size() > kNamed) std::fprintf(stderr, "rag: no longer there: %zu more\n", gone.size() - kNamed);
  if (prune) remove_documents(store, gone);
  std::printf(prune ? "%zu documents that are no longer there were removed from the store\n"
                    : "%zu documents of the store are no longer there; --prune removes them\n",
              gone.size());
}

}  // namespace

int run_index(const IndexOptions& options) {
  const graft::InterruptFlag interrupt;
  std::size_t refused = 0;
  ProgressLine line;
  const auto refuse = [&](const std::string& name, const std::string& why) {
    ++refused;
    line.clear();
    std::fprintf(stderr, "rag: refused %s%s%s\n", name.c_str(), name.empty() ? "" : ": ", why.c_str());
  };
  const FileWalk walk(options.sources, refuse);
  if (walk.files().empty())
    throw graft::OptionError(
        "there is no document to index; documents are .txt, .md and .jsonl files. What was indexed before stays: rag "
        "remove takes it out");
  std::uintmax_t bytes = 1;
  std::set<std::string> here;
  for (const SourceFile& file : walk.files()) {
    bytes += file.bytes;
    here.insert(file.path.string());
  }

  std::unique_ptr<graft::Store> store;
  std::string model = options.model;
  if (model.empty()) {
    if (!is_postgres(options.store) && !std::filesystem::exists(options.store))
      throw graft::OptionError(graft::message("no model is known for the store ", graft::quoted(options.store),
                                              ", which is new; name a directory with --model"));
    store = open_store(options.store, false);
    model = model_of(*store, "");
  }
  std::int64_t tokens = 0;
  const graft::Embedder embedder(model, {.progress = [&](std::int64_t, std::int64_t n) { tokens += n; }});
  if (options.size > embedder.passage_tokens())
    throw graft::OptionError(graft::message("--size is ", options.size, ", but this model reads ",
                                            embedder.passage_tokens(), " tokens of a passage"));
  if (!store) store = open_store(options.store, true);
  note_model(embedder.space().model, model);
  line = ProgressLine();  // time counts from here

  // Markdown is cut at its headings, so it is brought in by a chunker of its own.
  const auto per_second = [&](auto count) { return std::llround(static_cast<double>(count) / line.seconds()); };
  graft::IngestReport sum;
  graft::GivenDocuments given;
  std::set<std::string> read_whole;
  std::uintmax_t read_before = 0;
  for (const bool markdown : {false, true}) {
    std::vector<SourceFile> files;
    for (const SourceFile& file : walk.files())
      if ((file.kind == FileKind::markdown) == markdown) files.push_back(file);
    if (files.empty() || sum.stopped) continue;
    const graft::Chunker chunker(embedder.length(), "tokens of " + embedder.space().model,
                                 {.size = options.size > 0 ? options.size : embedder.passage_tokens(),
                                  .overlap = options.overlap,
                                  .markdown = markdown});
    DocumentReader reader(std::move(files), graft::SqliteStoreOptions().document_bytes, refuse);
    const graft::PassageModel passages = embedder.passage_model();
    graft::IngestOptions ingest_options;
    ingest_options.batch = 128;
    ingest_options.stop = [&] { return interrupt.flag().load(); };
    ingest_options.refused = [&](const graft::Document&, const graft::OptionError& error) {
      refuse(reader.where(), error.what());
    };
    ingest_options.given = &given;
    // Of two sources of this run the first has the document, and the other is refused when it gives it again.
    ingest_options.still_there = [&](const std::string& source) {
      return !here.contains(source) && std::filesystem::path(source).is_absolute() && is_there(source);
    };
    ingest_options.progress = [&](const graft::IngestReport& report) {
      const std::size_t documents = documents_of(sum) + documents_of(report);
      const double share = static_cast<double>(read_before + reader.bytes_read()) / static_cast<double>(bytes);
      line.show(share, graft::message(documents, " documents  ", per_second(documents), " documents/s  ",
                                      per_second(tokens), " tokens/s"));
    };
    add(sum, graft::ingest(
                 *store, chunker, &passages, [&] { return reader.next(); }, ingest_options));
    read_before += reader.bytes_read();
    read_whole.insert(reader.read_whole().begin(), reader.read_whole().end());
  }

  line.clear();
  if (sum.stopped)
    std::fprintf(stderr, "rag: stopped; what was indexed is in the store, and the same command goes on from there\n");
  std::printf("%zu documents: %zu new, %zu changed, %zu completed, %zu unchanged, %zu refused\n",
              documents_of(sum) + refused, sum.added, sum.changed, sum.completed, sum.unchanged, refused);
  std::printf("%zu passages and %lld tokens embedded in %s; %lld tokens/s\n", sum.embedded,
              static_cast<long long>(tokens), graft::clock_text(line.seconds()).c_str(), per_second(tokens));
  if (walk.passed_over() > 0) std::printf("%zu files of other kinds were passed over\n", walk.passed_over());
  if (!sum.stopped) settle_gone(*store, gone_documents(*store, walk.places(), given, read_whole), options.prune);
  if (sum.stopped) return 130;
  return refused > 0 ? 1 : 0;
}
