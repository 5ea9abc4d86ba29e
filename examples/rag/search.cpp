#include "search.hpp"

#include <cstdio>

#include <nlohmann/json.hpp>

#include "graft/retrieval/filter.hpp"
#include "printing.hpp"
#include "questions.hpp"

namespace {

void print_hit(std::size_t place, const graft::Hit& hit) {
  std::printf("%zu. %s, bytes %zu to %zu\n   score %.4f", place, one_line(hit.document.uri, 400).c_str(),
              hit.context_begin, hit.context_end, hit.score);
  if (hit.similarity) std::printf(", similarity %.3f", *hit.similarity);
  if (hit.word_score) std::printf(", words %.2f", *hit.word_score);
  if (hit.rerank_score) std::printf(", reranker %.3f", *hit.rerank_score);
  if (!hit.passage.range.heading.empty()) std::printf(", %s", one_line(hit.passage.range.heading, 100).c_str());
  std::printf("\n   %s\n", one_line(hit.context, 300).c_str());
}

}  // namespace

int run_search(const SearchOptions& options) {
  if (options.question.find_first_not_of(" \t\r\n") == std::string::npos)
    throw graft::OptionError("the question is empty; say what to look for");
  graft::Query query{.text = options.question};
  if (!options.where.empty()) query.filter = graft::Filter::parse(options.where);
  query.top = options.top;
  query.per_document = options.per_document;
  query.neighbours = options.neighbours;
  const SearchMode mode = mode_named(options.mode);
  Search search(options.store, options.model, mode != SearchMode::bm25, options.questions);
  search.set_mode(query, mode);
  const std::vector<graft::Hit> hits = search.retriever().search(query);
  if (options.json) {
    graft::Json list = graft::Json::array();
    for (const graft::Hit& hit : hits) list.push_back(json_of(hit));
    std::printf("%s\n", graft::Json({{"question", options.question}, {"hits", list}}).dump(2).c_str());
    return 0;
  }
  for (std::size_t i = 0; i < hits.size(); ++i) print_hit(i + 1, hits[i]);
  if (hits.empty()) std::printf("nothing was found\n");
  return 0;
}
