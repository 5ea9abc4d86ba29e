#include "data.hpp"

#include <cstdio>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "cli.hpp"
#include "graft/core/error.hpp"

namespace {

std::vector<graft::QuestionPairs> chosen(const std::vector<graft::QuestionPairs>& rows,
                                         const std::vector<std::size_t>& which) {
  std::vector<graft::QuestionPairs> out;
  for (const std::size_t i : which) out.push_back(rows[i]);
  return out;
}

graft::StoreQuestions chosen(const graft::StoreQuestions& all, const std::vector<std::size_t>& which) {
  graft::StoreQuestions out;
  for (const std::size_t i : which) out.questions.push_back(all.questions[i]);
  return out;
}

graft::PairsFile read_rows(const std::string& path, const DataOptions& options, LeftOut& left_out) {
  graft::PairsFile file = graft::read_pairs(path, {.skip_bad_rows = options.skip_bad_rows});
  left_out.bad_rows += file.skipped;
  left_out.faults.insert(left_out.faults.end(), file.faults.begin(), file.faults.end());
  return file;
}

PairRows split_rows(const DataOptions& options) {
  PairRows out;
  out.training = read_rows(options.pairs, options, out).rows;
  if (options.held_out_pairs.empty()) {
    const graft::PairsSplit split =
        graft::split_pairs(out.training, options.held_out, options.held_out_most, options.seed);
    out.held_out = chosen(out.training, split.held_out);
    out.training = chosen(out.training, split.training);
    return out;
  }
  out.held_out = read_rows(options.held_out_pairs, options, out).rows;
  out.leaks = graft::find_leaks(out.training, out.held_out);
  std::set<std::string> leaking;
  for (const graft::Leak& leak : out.leaks) leaking.insert(leak.training);
  out.leaking_rows =
      std::erase_if(out.training, [&](const graft::QuestionPairs& row) { return leaking.contains(row.where); });
  return out;
}

void check_held_out(bool is_empty) {
  if (is_empty)
    throw graft::OptionError(
        "no question is held out, so that nothing tells whether the training does good; give more pairs, a larger "
        "--held-out, or --held-out-pairs");
}

void read_pairs(graft::Snapshot& snapshot, const DataOptions& options, FinetuneData& data) {
  PairRows rows = split_rows(options);
  data.training = graft::find_answers(snapshot, rows.training);
  data.held_out = graft::find_answers(snapshot, rows.held_out);
  static_cast<LeftOut&>(data) = std::move(rows);
}

/// Queries with judgements: split so that no question and no document stands on both sides.
void read_judged(graft::Snapshot& snapshot, const DataOptions& options, FinetuneData& data) {
  const auto queries = graft::read_judged_queries(options.queries);
  graft::StoreQuestions all = graft::find_answers(snapshot, queries, graft::read_judgements(options.relevant));
  if (all.questions.empty())
    throw graft::OptionError(graft::message("no query of ", options.queries, " has a document of the store in ",
                                            options.relevant, "; do their names match?"));
  std::vector<graft::QuestionPairs> rows;
  for (const graft::StoreQuestion& question : all.questions) {
    rows.push_back({.question = question.text, .positives = {}});
    for (const graft::DocumentId id : question.right) rows.back().positives.push_back(std::to_string(id));
  }
  const graft::PairsSplit split = graft::split_pairs(rows, options.held_out, options.held_out_most, options.seed);
  data.held_out = chosen(all, split.held_out);
  data.training = chosen(all, split.training);
  data.training.left_out = all.left_out;
  data.training.unknown = all.unknown;
  data.training.faults = std::move(all.faults);
}

}  // namespace

void DataOptions::add_to(CLI::App& app) {
  auto* pairs_option = app.add_option(
      "--pairs", pairs, "JSON objects, one a line: \"query\" and \"positive\", a text or a list; \"negative\" too");
  auto* queries_option =
      app.add_option("--queries", queries,
                     "or JSON objects, one a line: \"id\" and \"text\", for the questions' side, ...")
          ->excludes(pairs_option);
  auto* relevant_option =
      app.add_option("--relevant", relevant, "... and lines of query, document and grade, with tabs between")
          ->excludes(pairs_option);
  queries_option->needs(relevant_option);
  relevant_option->needs(queries_option);
  auto* held_out_pairs_option =
      app.add_option("--held-out-pairs", held_out_pairs, "pairs to judge by, instead of a part of --pairs")
          ->needs(pairs_option);
  app.add_option("--held-out", held_out, "share of the questions to judge by")
      ->capture_default_str()
      ->excludes(held_out_pairs_option);
  app.add_option("--held-out-most", held_out_most, "and at most so many")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_flag("--skip-bad-rows", skip_bad_rows, "leave out bad rows of pairs, and say how many");
}

PairRows read_pair_rows(const DataOptions& options) {
  PairRows out = split_rows(options);
  if (out.training.empty())
    throw graft::OptionError(graft::message("there is no pair to train on in ", options.pairs, ": ", out.leaking_rows,
                                            " are held out as well; give more pairs"));
  check_held_out(out.held_out.empty());
  return out;
}

FinetuneData read_data(graft::Snapshot& snapshot, const DataOptions& options) {
  FinetuneData data;
  if (options.pairs.empty())
    read_judged(snapshot, options, data);
  else
    read_pairs(snapshot, options, data);
  if (data.training.questions.empty()) {
    const auto& faults = data.training.faults;
    throw graft::OptionError(graft::message(
        "there is no question to train on: ", data.training.left_out, " have no answer in the store and ",
        data.leaking_rows, " are held out as well", faults.empty() ? "" : "; ", faults.empty() ? "" : faults[0],
        "; index the documents that answer them first, with: rag index"));
  }
  check_held_out(data.held_out.questions.empty());
  return data;
}

namespace {

void print_lines(const char* what, std::size_t count, const std::vector<std::string>& lines) {
  if (count == 0) return;
  std::fprintf(stderr, "retriever_finetune: %zu %s\n", count, what);
  for (std::size_t i = 0; i < lines.size() && i < 5; ++i) std::fprintf(stderr, "  %s\n", lines[i].c_str());
}

}  // namespace

void print_left_out(const LeftOut& data) {
  print_lines("rows are bad and were left out", data.bad_rows, data.faults);
  std::vector<std::string> leaks;
  for (const graft::Leak& leak : data.leaks)
    leaks.push_back(graft::message(leak.training, " and ", leak.held_out, ": ",
                                   leak.kind == graft::Leak::Kind::question ? "the question " : "the answer ",
                                   graft::quoted(leak.text, 80)));
  print_lines("rows share a question or an answer with the held-out ones, and are not trained on", data.leaking_rows,
              leaks);
}

void print_left_out(const FinetuneData& data) {
  print_left_out(static_cast<const LeftOut&>(data));
  for (const auto* questions : {&data.training, &data.held_out}) {
    print_lines("answers are not in the store", questions->unknown, questions->faults);
    if (questions->left_out > 0)
      std::fprintf(stderr, "retriever_finetune: %zu questions have no answer in the store and were left out\n",
                   questions->left_out);
  }
}
