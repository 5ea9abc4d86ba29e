#include "eval.hpp"

#include <charconv>
#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include "graft/io/lines.hpp"
#include "graft/retrieval/metrics.hpp"
#include "graft/training/interrupt.hpp"
#include "questions.hpp"

namespace {

struct JudgedQuery {
  std::string id, text;
};

/// A JSON object a line: "text", and its name in "id" or "_id".
std::vector<JudgedQuery> read_queries(const std::string& path) {
  graft::LineReader lines(path, 1 << 20);
  std::vector<JudgedQuery> queries;
  for (std::string line; lines.next(line);) {
    if (line.find_first_not_of(" \t") == line.npos) continue;
    const graft::Json row = graft::parse_json(line, lines.where(), {.depth = 16, .bytes = 1 << 20});
    const graft::JsonFields fields(row, lines.where());
    const auto* name = fields.has("_id") ? "_id" : "id";
    const graft::Json& id = fields.value(name);
    if (!id.is_string() && !id.is_number_integer()) fields.fail(name, "a string or an integer");
    queries.push_back({id.is_string() ? id.get<std::string>() : id.dump(), fields.text("text")});
  }
  if (queries.empty()) throw graft::FormatError(graft::message(path, ": has no query"));
  return queries;
}

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find('\t', begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return fields;
}

/// Lines of query, document and grade, or as trec_eval has them query, 0, document, grade; tabs between. A first line
/// whose grade is no number is a header.
std::map<std::string, graft::Judgements> read_judgements(const std::string& path) {
  graft::LineReader lines(path, 1 << 20);
  std::map<std::string, graft::Judgements> judgements;
  for (std::string line; lines.next(line);) {
    if (line.empty()) continue;
    const std::vector<std::string> fields = fields_of(line);
    std::int64_t grade = 0;
    const auto whole = [&](const std::string& text) {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), grade);
      return error == std::errc() && end == text.data() + text.size();
    };
    const bool good = (fields.size() == 3 || fields.size() == 4) && whole(fields.back());
    if (!good && lines.number() == 1 && fields.size() >= 3) continue;
    if (!good)
      throw graft::FormatError(graft::message(lines.where(), ": is ", graft::quoted(line),
                                              "; a line has a query, a document and a whole grade, with tabs between"));
    judgements[fields[0]][fields[fields.size() - 2]] = grade;
  }
  if (judgements.empty()) throw graft::FormatError(graft::message(path, ": says of no document that it is relevant"));
  return judgements;
}

/// One way of searching, judged.
struct ModeQuality {
  std::string name;
  graft::RankingReport first{1}, report;
  explicit ModeQuality(std::string mode, std::size_t k) : name(std::move(mode)), report(k) {}
};

graft::Json json_of(const ModeQuality& quality) {
  const graft::RankingQuality mean = quality.report.mean();
  const graft::Estimate ndcg = graft::bootstrap(quality.report.ndcg());
  return {{"mode", quality.name},
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
  std::printf("%zu queries\n%-7s  %9s  %9s  %9s  %9s  %s\n", qualities.front().report.judged(), "", "recall@1",
              ("recall@" + std::to_string(k)).c_str(), ("MRR@" + std::to_string(k)).c_str(),
              ("nDCG@" + std::to_string(k)).c_str(), "95 % interval");
  for (const ModeQuality& quality : qualities) {
    const graft::RankingQuality mean = quality.report.mean();
    const graft::Estimate ndcg = graft::bootstrap(quality.report.ndcg());
    std::printf("%-7s  %9.3f  %9.3f  %9.3f  %9.3f  %.3f to %.3f\n", quality.name.c_str(), quality.first.mean().recall,
                mean.recall, mean.mrr, mean.ndcg, ndcg.low, ndcg.high);
  }
  const ModeQuality& last = qualities.back();
  for (const ModeQuality& quality : qualities) {
    if (&quality == &last) continue;
    const graft::Comparison comparison = graft::compare(quality.report.ndcg(), last.report.ndcg());
    std::printf("%s against %s: nDCG %+.4f (%+.4f to %+.4f), better in %zu, worse in %zu, p %.3f\n", last.name.c_str(),
                quality.name.c_str(), comparison.difference.mean, comparison.difference.low, comparison.difference.high,
                comparison.wins, comparison.losses, comparison.p_value);
  }
}

}  // namespace

int run_eval(const EvalOptions& options) {
  const graft::InterruptFlag interrupt;
  if (options.k < 1) throw graft::OptionError("--k is 0; choose 1 or more");
  const std::vector<JudgedQuery> queries = read_queries(options.queries);
  const std::map<std::string, graft::Judgements> judgements = read_judgements(options.relevant);
  std::vector<ModeQuality> qualities;
  bool vectors = false;
  for (const std::string& mode : options.modes) {
    qualities.emplace_back(mode, options.k);
    vectors = vectors || mode_named(mode) != SearchMode::bm25;
  }
  Search search(options.store, options.model, vectors);
  torch::Tensor embedded;
  if (vectors) {
    std::vector<std::string> texts;
    for (const JudgedQuery& query : queries) texts.push_back(query.text);
    embedded = search.embedder().embed(texts, search.embedder().query_prompt());
  }
  for (std::size_t i = 0; i < queries.size(); ++i) {
    if (interrupt.flag()) return 130;
    const auto found = judgements.find(queries[i].id);
    const graft::Judgements relevant = found == judgements.end() ? graft::Judgements() : found->second;
    for (std::size_t m = 0; m < options.modes.size(); ++m) {
      graft::Query query{.text = queries[i].text};
      query.top = options.k;
      query.per_document = 1;
      std::vector<float> vector;
      if (vectors) {
        const float* row = embedded.const_data_ptr<float>() + static_cast<std::int64_t>(i) * embedded.size(1);
        vector.assign(row, row + embedded.size(1));
      }
      search.set_mode(query, mode_named(options.modes[m]), std::move(vector));
      std::vector<std::string> ranking;
      for (const graft::Hit& hit : search.retriever().search(query)) ranking.push_back(hit.document.uri);
      qualities[m].report.add(ranking, relevant);
      qualities[m].first.add(ranking, relevant);
    }
  }
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
