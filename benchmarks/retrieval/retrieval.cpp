// Search over vectors in memory and from a store, timed for compare.py, which times other libraries beside it.
//
//   retrieval DIRECTORY WIDTH THREADS   vectors.f32 [N, WIDTH] and queries.f32 [Q, WIDTH] of DIRECTORY. Does one thing
//   for
//                                       each line of standard input and answers with a line of JSON:
//     read                  milliseconds of plain sums over the float32 vectors: what the memory can do
//     one STORAGE           milliseconds of a query of its own, the median of 21; STORAGE: float32 or float16
//     batch STORAGE         milliseconds of all queries together
//     ids STORAGE           of the ten nearest of each query
//     build                 milliseconds of making the graph
//     graph EF              milliseconds of a query, one after another, on one thread
//     graph_ids EF
//   retrieval add STORE DIRECTORY WIDTH   texts.txt of DIRECTORY, a document a line, with its vectors into a fresh
//   store retrieval graph STORE WIDTH           builds and saves the graph of a store retrieval open STORE WIDTH
//   exact|graph   opens the store, answers one query, says which index it used

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/retrieval/exact.hpp"
#include "graft/retrieval/hnsw.hpp"
#include "graft/retrieval/ingest.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/timing.hpp"

namespace {

using graft::Json;

std::vector<float> read_floats(const std::string& path) {
  const graft::InputFile file(path);
  std::vector<float> out(file.size() / sizeof(float));
  file.read_at(0, std::as_writable_bytes(std::span(out)));
  return out;
}

graft::VectorSpace space_of(std::int64_t width) { return {"benchmark", width, graft::Metric::cosine}; }

Json ids_of(const std::vector<std::vector<graft::Scored>>& found) {
  Json out = Json::array();
  for (const auto& ranking : found) {
    Json ids = Json::array();
    for (const graft::Scored& entry : ranking) ids.push_back(entry.id - 1);
    out.push_back(std::move(ids));
  }
  return out;
}

class Memory {
 public:
  Memory(const std::string& directory, std::int64_t width, unsigned threads)
      : width_(static_cast<std::size_t>(width)),
        threads_(threads),
        vectors_(read_floats(directory + "/vectors.f32")),
        queries_(read_floats(directory + "/queries.f32")),
        float32_(space_of(width), {.storage = graft::VectorStorage::float32, .threads = threads}),
        float16_(space_of(width), {.storage = graft::VectorStorage::float16, .threads = threads}),
        graph_(space_of(width), {.threads = threads}) {
    for (std::size_t i = 0; i < vectors_.size() / width_; ++i) ids_.push_back(static_cast<graft::PassageId>(i + 1));
    float32_.add(ids_, vectors_);
    float16_.add(ids_, vectors_);
  }

  Json answer(const std::string& command, const std::string& argument) {
    if (command == "read") return {{"ms", milliseconds_to_read(vectors_, threads_)}};
    if (command == "build") return {{"ms", milliseconds(1, [&] { graph_.add(ids_, vectors_); })}};
    if (command == "graph" || command == "graph_ids") {
      graph_.set_ef_search(std::stoul(argument));
      std::vector<std::vector<graft::Scored>> found(count());
      const double time = milliseconds(1, [&] {
        for (std::size_t q = 0; q < count(); ++q) found[q] = graph_.search(query(q), 10)[0];
      });
      return command == "graph" ? Json{{"ms", time / static_cast<double>(count())}} : Json{{"ids", ids_of(found)}};
    }
    const graft::ExactIndex& index = argument == "float16" ? float16_ : float32_;
    if (command == "one") return {{"ms", milliseconds(21, [&] { index.search(query(next_++ % count()), 10); })}};
    if (command == "batch") return {{"ms", milliseconds(1, [&] { index.search(queries_, 10); })}};
    if (command == "ids") return {{"ids", ids_of(index.search(queries_, 10))}};
    throw graft::OptionError(graft::message("there is no command ", graft::quoted(command)));
  }

 private:
  std::size_t count() const { return queries_.size() / width_; }
  std::span<const float> query(std::size_t q) const { return std::span(queries_).subspan(q * width_, width_); }

  std::size_t width_;
  unsigned threads_;
  std::vector<float> vectors_, queries_;
  std::vector<graft::PassageId> ids_;
  graft::ExactIndex float32_, float16_;
  graft::HnswIndex graph_;
  std::size_t next_ = 0;
};

/// A document a line, cut into itself alone; a passage's vector is the next of those that are ready.
Json add(const std::string& file, const std::string& directory, std::int64_t width) {
  const auto wide = static_cast<std::size_t>(width);
  const std::vector<float> vectors = read_floats(directory + "/vectors.f32");
  std::vector<graft::Document> documents;
  std::ifstream lines(directory + "/texts.txt");
  for (std::string line; std::getline(lines, line);)
    documents.push_back({.uri = "document-" + std::to_string(documents.size()), .text = line});
  std::size_t given = 0;
  const graft::PassageModel model{space_of(width), [&](std::span<const std::string> texts) {
                                    const auto from = std::span(vectors).subspan(given * wide, texts.size() * wide);
                                    given += texts.size();
                                    return std::vector<float>(from.begin(), from.end());
                                  }};
  const graft::Chunker chunker([](std::string_view text) { return text.size(); }, "bytes",
                               {.size = 65536, .overlap = 0});
  graft::IngestReport report;
  const double time = milliseconds(1, [&] {
    graft::SqliteStore store(file);
    report = graft::ingest(store, chunker, &model, documents);
  });
  return {{"ms", time}, {"documents", report.added}, {"passages", report.embedded}};
}

graft::RetrieverOptions options_of(const std::string& file, std::int64_t width, bool graph) {
  graft::RetrieverOptions options{.space = space_of(width)};
  if (graph) options.exact_up_to = 0;
  options.index_file = file + "-index";
  return options;
}

Json open(const std::string& file, std::int64_t width, bool graph) {
  graft::SqliteStore store(file, {.create = false});
  graft::Retriever retriever(store, options_of(file, width, graph));
  std::vector<float> query(static_cast<std::size_t>(width), 1.0f);
  const auto hits = retriever.search({.vector = std::move(query)});
  return {{"hits", hits.size()}, {"vectors", retriever.indexed()}, {"index", retriever.index_reason()}};
}

Json build_graph(const std::string& file, std::int64_t width) {
  graft::SqliteStore store(file, {.create = false});
  const graft::Retriever retriever(store, options_of(file, width, true));
  retriever.save_index();
  return {{"index", retriever.index_reason()}};
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> given(arguments + 1, arguments + count);
  const auto is = [&](const char* what, std::size_t size) { return given.size() == size && given[0] == what; };
  try {
    if (is("add", 4)) {
      std::cout << add(given[1], given[2], std::stol(given[3])) << std::endl;
    } else if (is("graph", 3)) {
      std::cout << build_graph(given[1], std::stol(given[2])) << std::endl;
    } else if (is("open", 4)) {
      std::cout << open(given[1], std::stol(given[2]), given[3] == "graph") << std::endl;
    } else if (given.size() == 3) {
      Memory memory(given[0], std::stol(given[1]), static_cast<unsigned>(std::stoul(given[2])));
      for (std::string command, argument, line; std::getline(std::cin, line);) {
        const std::size_t space = std::min(line.find(' '), line.size());
        argument = space < line.size() ? line.substr(space + 1) : "";
        std::cout << memory.answer(line.substr(0, space), argument) << std::endl;
      }
    } else {
      std::cerr << "usage: ./run bench retrieval\n";
      return 2;
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
