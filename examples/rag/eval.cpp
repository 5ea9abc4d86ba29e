#include "eval.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include "graft/retrieval/judgements.hpp"
#include "graft/retrieval/metrics.hpp"
#include "graft/training/interrupt.hpp"
#include "progress.hpp"
#include "questions.hpp"

namespace {

/// One way of searching, judged.
struct ModeQuality {
  std::string name;
  bool adapted;   // by the adapter of questions
  bool reranked;  // by the cross-encoder
  graft::RankingReport first{1}, report;
  ModeQuality(std::string mode, bool adapted, bool reranked, std::size_t k)
      : name(std::move(mode)), adapted(adapted), reranked(reranked), report(k) {}

  std::string title() const { return name + (adapted ? ", adapted" : "") + (reranked ? ", reranked" : ""); }
};

graft::Json json_of(const ModeQuality& quality) {
  const graft::RankingQuality mean = quality.report.mean();
  const graft::Estimate ndcg = graft::bootstrap(quality.report.ndcg());
  return {{"mode", quality.name},
          {"adapted", quality.adapted},
          {"reranked", quality.reranked},
          {"queries", quality.report.judged()},
          {"unjudged", quality.report.unjudged()},
          {"k", quality.report.k()},
          {"recall_at_1", quality.first.mean().recall},
          {"recall", mean.recall},
          {"precision", mean.precision},
          {"hit_rate", mean.hit_rate},
          {"mrr", mean.mrr},
          {"map", mean.map},
          {"ndcg", mean.ndcg},
          {"ndcg_low", ndcg.low},
          {"ndcg_high", ndcg.high}};
}

void print_table(const std::vector<ModeQuality>& qualities, std::size_t k) {
  std::size_t longest = 14;
  for (const ModeQuality& quality : qualities) longest = std::max(longest, quality.title().size());
  const int width = static_cast<int>(longest);
  std::printf("%zu queries\n%-*s  %9s  %9s  %9s  %9s  %s\n", qualities.front().report.judged(), width, "", "recall@1",
              ("recall@" + std::to_string(k)).c_str(), ("MRR@" + std::to_string(k)).c_str(),
              ("nDCG@" + std::to_string(k)).c_str(), "95 % interval");
  for (const ModeQuality& quality : qualities) {
    const graft::RankingQuality mean = quality.report.mean();
    const graft::Estimate ndcg = graft::bootstrap(quality.report.ndcg());
    std::printf("%-*s  %9.3f  %9.3f  %9.3f  %9.3f  %.3f to %.3f\n", width, quality.title().c_str(),
                quality.first.mean().recall, mean.recall, mean.mrr, mean.ndcg, ndcg.low, ndcg.high);
  }
  const ModeQuality& last = qualities.back();
  for (const ModeQuality& quality : qualities) {
    if (&quality == &last) continue;
    const graft::Comparison comparison = graft::compare(quality.report.ndcg(), last.report.ndcg());
    std::printf("%s against %s: nDCG %+.4f (%+.4f to %+.4f), better in %zu, worse in %zu, p %.3f\n",
                last.title().c_str(), quality.title().c_str(), comparison.difference.mean, comparison.difference.low,
                comparison.difference.high, comparison.wins, comparison.losses, comparison.p_value);
  }
}

}  // namespace

int run_eval(const EvalOptions& options) {
  const graft::InterruptFlag interrupt;
  const std::vector<graft::JudgedQuery> queries = graft::read_judged_queries(options.queries);
  const std::map<std::string, graft::Judgements> judgements = graft::read_judgements(options.relevant);
  std::vector<ModeQuality> qualities;
  bool vectors = false;
  for (const bool reranked : {false, true})
    for (const bool adapted : {false, true})
      for (const std::string& mode : options.modes) {
        const bool by_vector = mode_named(mode) != SearchMode::bm25;
        if (adapted && (!by_vector || options.questions.adapter.empty())) continue;
        if (reranked && options.questions.rerank.empty()) continue;
        qualities.emplace_back(mode, adapted, reranked, options.k);
        vectors = vectors || by_vector;
      }
  Search search(options.store, options.model, vectors, options.questions);
  torch::Tensor embedded;
  if (vectors) {
    std::vector<std::string> texts;
    for (const graft::JudgedQuery& query : queries) texts.push_back(query.text);
    embedded = search.embedder().embed(texts, search.embedder().query_prompt());
  }
  ProgressLine line;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    if (interrupt.flag()) {
      line.clear();
      return 130;
    }
    if (!options.questions.rerank.empty())  // else it is fast
      line.show(static_cast<double>(i) / static_cast<double>(queries.size()), graft::message(i, " queries"));
    const auto found = judgements.find(queries[i].id);
    const graft::Judgements relevant = found == judgements.end() ? graft::Judgements() : found->second;
    for (ModeQuality& quality : qualities) {
      graft::Query query{.text = queries[i].text};
      query.top = options.k;
      query.per_document = 1;
      std::vector<float> vector;
      if (vectors) {
        const float* row = embedded.const_data_ptr<float>() + static_cast<std::int64_t>(i) * embedded.size(1);
        vector.assign(row, row + embedded.size(1));
      }
      search.set_mode(query, mode_named(quality.name), std::move(vector), quality.adapted, quality.reranked);
      std::vector<std::string> ranking;
      for (const graft::Hit& hit : search.retriever().search(query)) ranking.push_back(hit.document.uri);
      quality.report.add(ranking, relevant);
      quality.first.add(ranking, relevant);
    }
  }
  line.clear();
  if (qualities.front().report.judged() == 0)
    throw graft::OptionError(graft::message("no query of ", options.queries, " has a relevant document in ",
                                            options.relevant, "; do their names match?"));
  if (options.json) {
    graft::Json list = graft::Json::array();
    for (const ModeQuality& quality : qualities) list.push_back(json_of(quality));
    std::printf("%s\n", list.dump(2).c_str());
  } else {
    print_table(qualities, options.k);
  }
  return 0;
}
