#include "rerank_data.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/retrieval/document.hpp"
#include "printing.hpp"
#include "progress.hpp"

namespace {

constexpr std::size_t kRightPassages = 4;  // of a question, one of a document

std::string text_of(const graft::Passage& passage) { return graft::searchable(passage.range.heading, passage.text); }

}  // namespace

RerankData::RerankData(const RerankTraining& options, const std::atomic<bool>& stop)
    : options_(options),
      stop_(stop),
      mode_(mode_named(options.mode)),
      search_(options.store, options.encoder, mode_ != SearchMode::bm25, options.questions),
      data_(read_data(*search_.store().read(), options)) {
  if (options.most_questions > 0 && data_.training.questions.size() > options.most_questions)
    data_.training.questions.resize(options.most_questions);
  if (data_.held_out.questions.size() > options.held_out_most) data_.held_out.questions.resize(options.held_out_most);
}

std::vector<graft::StoreQuestion> RerankData::with_vectors(const std::vector<graft::StoreQuestion>& questions) const {
  std::vector<graft::StoreQuestion> out = questions;
  if (mode_ == SearchMode::bm25) return out;
  std::vector<std::string> texts;
  for (const graft::StoreQuestion& question : out) texts.push_back(question.text);
  const torch::Tensor vectors = search_.embedder().embed(texts, search_.embedder().query_prompt());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const float* row = vectors.const_data_ptr<float>() + static_cast<std::int64_t>(i) * vectors.size(1);
    graft::Query query{.text = out[i].text};
    search_.set_mode(query, mode_, std::vector<float>(row, row + vectors.size(1)));
    out[i].vector = std::move(query.vector);
    out[i].encoder = std::move(query.encoder);
  }
  return out;
}

std::vector<std::string> RerankData::right_passages(const graft::StoreQuestion& question) {
  const auto snapshot = search_.store().read();
  std::vector<std::string> out;
  for (const graft::DocumentId document : question.right) {
    if (out.size() == kRightPassages) break;
    const std::vector<graft::Passage> passages = snapshot->passages_of(document);
    if (passages.empty()) continue;
    std::size_t best = 0;
    if (passages.size() > 1 && !question.vector.empty()) {
      const graft::VectorSpace& space = search_.embedder().space();
      graft::ExactIndex index(space, {.threads = 1});
      for (std::size_t i = 0; i < passages.size(); ++i) {
        const std::vector id{passages[i].id};
        if (snapshot->without_vectors(space, id).empty())
          index.add(std::vector{static_cast<graft::PassageId>(i)}, snapshot->vectors(space, id));
      }
      const auto found = index.search(question.vector, 1);
      if (!found[0].empty()) best = static_cast<std::size_t>(found[0][0].id);
    }
    out.push_back(text_of(passages[best]));
  }
  return out;
}

std::vector<graft::GradedList> RerankData::training_lists(graft::NegativesReport& report) {
  const std::vector<graft::StoreQuestion> questions = with_vectors(data_.training.questions);
  ProgressLine line;
  graft::NegativesOptions options;
  if (mode_ != SearchMode::bm25) options.space = search_.embedder().space();
  options.by_vector = mode_ != SearchMode::bm25;
  options.by_word = mode_ != SearchMode::dense;
  options.last_rank = options_.last_rank;
  options.per_question = options_.negatives;
  options.most_share = options_.most_share;
  options.progress = [&](std::size_t done) {
    line.show(static_cast<double>(done) / static_cast<double>(questions.size()),
              graft::message("wrong passages for ", done, " questions"));
    if (stop_) throw Stopped();
  };
  const graft::MinedNegatives mined = graft::mine_negatives(search_.store(), questions, options);
  line.clear();
  report = mined.report;
  const auto snapshot = search_.store().read();
  std::vector<graft::GradedList> lists;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    if (mined.of_questions[i].empty()) continue;
    graft::GradedList list{questions[i].text, right_passages(questions[i]), {}};
    list.grades.assign(list.passages.size(), 1);
    std::vector<graft::PassageId> ids;
    for (const graft::Negative& negative : mined.of_questions[i]) ids.push_back(negative.passage);
    for (const graft::Passage& passage : snapshot->passages(ids)) list.passages.push_back(text_of(passage));
    list.grades.resize(list.passages.size(), 0);
    lists.push_back(std::move(list));
  }
  return lists;
}

std::vector<Candidates> RerankData::candidates() {
  ProgressLine line;
  std::vector<Candidates> out;
  for (const graft::StoreQuestion& question : data_.held_out.questions) {
    if (stop_) throw Stopped();
    graft::Query query{
        .text = question.text, .top = options_.depth, .depth = std::max<std::size_t>(100, options_.depth)};
    search_.set_mode(query, mode_);
    Candidates candidates;
    candidates.example.right = question.right;
    for (const graft::Hit& hit : search_.retriever().search(query)) {
      candidates.texts.push_back(text_of(hit.passage));
      candidates.example.documents.push_back(hit.passage.document);
      candidates.example.candidates.push_back({0, hit.similarity, hit.word_score});
      candidates.right.push_back(std::find(question.right.begin(), question.right.end(), hit.passage.document) !=
                                 question.right.end());
    }
    out.push_back(std::move(candidates));
    line.show(static_cast<double>(out.size()) / static_cast<double>(data_.held_out.questions.size()),
              graft::message(out.size(), " held-out questions searched for"));
  }
  line.clear();
  return out;
}

Judged judge_search(const std::vector<Candidates>& candidates) {
  Judged out{"the search", {}};
  for (const Candidates& of_question : candidates)
    out.ndcg.push_back(graft::reranked_ndcg(of_question.example, {}));  // all scores are alike
  return out;
}

Reranked judge_reranked(const std::string& when, const std::vector<graft::StoreQuestion>& questions,
                        const std::vector<Candidates>& candidates, const graft::CrossEncoder& reranker,
                        const std::atomic<bool>& stop) {
  Reranked out{{"reranked, " + when, {}}, {"joined with the search, " + when, {}}, {}, {}};
  std::vector<graft::RerankExample> examples;
  ProgressLine line;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    if (stop) throw Stopped();
    const std::vector<double> logits = reranker.logits(questions[i].text, candidates[i].texts);
    examples.push_back(candidates[i].example);
    for (std::size_t c = 0; c < logits.size(); ++c) examples.back().candidates[c].reranker = logits[c];
    out.logits.insert(out.logits.end(), logits.begin(), logits.end());
    line.show(static_cast<double>(i + 1) / static_cast<double>(questions.size()),
              graft::message(i + 1, " held-out questions reranked"));
  }
  line.clear();
  out.weights = graft::learn_rerank_weights(examples).weights;
  for (const graft::RerankExample& example : examples) {
    out.alone.ndcg.push_back(graft::reranked_ndcg(example, {}));
    out.joined.ndcg.push_back(graft::reranked_ndcg(example, out.weights));
  }
  return out;
}

graft::Json json_of(const graft::NegativesReport& report) {
  graft::Json examples = graft::Json::array();
  for (const graft::NegativeExample& example : report.examples)
    examples.push_back(
        {{"question", example.question},
         {"right", example.right},
         {"negative", example.negative},
         {"right_score", example.right_score ? graft::Json(*example.right_score) : graft::Json()},
         {"negative_score", example.negative_score ? graft::Json(*example.negative_score) : graft::Json()}});
  return {{"questions", report.questions}, {"found", report.found}, {"none", report.none},
          {"too_near", report.too_near},   {"right", report.right}, {"same_document", report.same_document},
          {"examples", examples}};
}

void print_report(const graft::NegativesReport& report) {
  std::printf(
      "%zu wrong passages for %zu questions, %zu of which have none; left out: %zu as near as the right one, %zu right "
      "ones, %zu of a document that has given one already\n",
      report.found, report.questions, report.none, report.too_near, report.right, report.same_document);
  for (const graft::NegativeExample& example : report.examples)
    std::printf("  %s\n    right: %s\n    wrong: %s\n", one_line(example.question, 90).c_str(),
                one_line(example.right, 90).c_str(), one_line(example.negative, 90).c_str());
}
