#pragma once

// rag index: documents into a store.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "documents.hpp"
#include "graft/retrieval/ingest.hpp"
#include "graft/training/interrupt.hpp"
#include "graft/training/progress.hpp"
#include "store.hpp"

struct IndexOptions {
  std::vector<std::string> sources;
  std::string store, model;
  std::size_t size = 0;  // tokens of a passage; 0: all that the model reads
  std::size_t overlap = 20;
};

/// One line that is redrawn in a terminal; elsewhere a line for every tenth of the work.
class IndexProgress {
 public:
  explicit IndexProgress(std::uintmax_t bytes) : bytes_(std::max<std::uintmax_t>(1, bytes)) {}

  void add_tokens(std::int64_t tokens) { tokens_ += tokens; }
  std::int64_t tokens() const { return tokens_; }
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  void show(std::size_t documents, std::uintmax_t bytes_read) {
    const double share = std::min(1.0, static_cast<double>(bytes_read) / static_cast<double>(bytes_));
    const int tenth = static_cast<int>(share * 10);
    if (!terminal_ && tenth == shown_) return;
    shown_ = tenth;
    char text[200];
    std::snprintf(text, sizeof(text), "[%-20s] %3.0f %%  %zu documents  %.0f documents/s  %.0f tokens/s  %s left",
                  std::string(static_cast<std::size_t>(share * 20), '=').c_str(), share * 100, documents,
                  static_cast<double>(documents) / seconds(), static_cast<double>(tokens_) / seconds(),
                  graft::detail::clock_text(share > 0 ? seconds() / share * (1 - share) : 0).c_str());
    std::string line = text;
    if (terminal_) line = "\r" + line.substr(0, graft::detail::terminal_columns(stderr) - 1) + "\x1b[K";
    std::fprintf(stderr, "%s%s", line.c_str(), terminal_ ? "" : "\n");
    drawn_ = terminal_;
  }

  /// Before something else is printed.
  void clear() {
    if (drawn_) std::fputs("\r\x1b[K", stderr);
    drawn_ = false;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::uintmax_t bytes_;
  bool terminal_ = isatty(STDERR_FILENO) == 1;
  bool drawn_ = false;
  int shown_ = 0;
  std::int64_t tokens_ = 0;
  Clock::time_point start_ = Clock::now();
};

inline void add(graft::IngestReport& sum, const graft::IngestReport& part) {
  sum.added += part.added;
  sum.changed += part.changed;
  sum.completed += part.completed;
  sum.unchanged += part.unchanged;
  sum.passages += part.passages;
  sum.embedded += part.embedded;
  sum.stopped = part.stopped;
}

inline std::size_t documents_of(const graft::IngestReport& report) {
  return report.added + report.changed + report.completed + report.unchanged;
}

inline int run_index(const IndexOptions& options) {
  const graft::InterruptFlag interrupt;
  std::size_t refused = 0;
  IndexProgress* shown = nullptr;
  const auto refuse = [&](const std::string& name, const std::string& why) {
    ++refused;
    if (shown) shown->clear();
    std::fprintf(stderr, "rag: refused %s%s%s\n", name.c_str(), name.empty() ? "" : ": ", why.c_str());
  };
  const FileWalk walk(options.sources, refuse);
  if (walk.files().empty())
    throw graft::OptionError("there is no document to index; documents are .txt, .md and .jsonl files");
  std::uintmax_t bytes = 0;
  for (const SourceFile& file : walk.files()) bytes += file.bytes;

  const std::string model = model_of(options.store, options.model);
  IndexProgress progress(bytes);
  const graft::Embedder embedder(model, {.progress = [&](std::int64_t, std::int64_t n) { progress.add_tokens(n); }});
  if (options.size > embedder.passage_tokens())
    throw graft::OptionError(graft::message("--size is ", options.size, ", but this model reads ",
                                            embedder.passage_tokens(), " tokens of a passage"));
  const std::unique_ptr<graft::Store> store = open_store(options.store, true);
  remember_model(options.store, model);
  shown = &progress;

  // Markdown is cut at its headings, so it is brought in by a chunker of its own.
  graft::IngestReport sum;
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
    ingest_options.refused = [&](const graft::Document& document, const graft::OptionError& error) {
      refuse(document.uri, error.what());
    };
    ingest_options.progress = [&](const graft::IngestReport& report) {
      progress.show(documents_of(sum) + documents_of(report), read_before + reader.bytes_read());
    };
    add(sum, graft::ingest(
                 *store, chunker, &passages, [&] { return reader.next(); }, ingest_options));
    read_before += reader.bytes_read();
  }

  progress.clear();
  if (sum.stopped)
    std::fprintf(stderr, "rag: stopped; what was indexed is in the store, and the same command goes on from there\n");
  std::printf("%zu documents: %zu new, %zu changed, %zu completed, %zu unchanged, %zu refused\n",
              documents_of(sum) + refused, sum.added, sum.changed, sum.completed, sum.unchanged, refused);
  std::printf("%zu passages and %lld tokens embedded in %s; %.0f tokens/s\n", sum.embedded,
              static_cast<long long>(progress.tokens()), graft::detail::clock_text(progress.seconds()).c_str(),
              static_cast<double>(progress.tokens()) / progress.seconds());
  if (walk.passed_over() > 0) std::printf("%zu files of other kinds were passed over\n", walk.passed_over());
  if (sum.stopped) return 130;
  return refused > 0 ? 1 : 0;
}
