#include "make_questions.hpp"

#include <cstdio>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/output.hpp"
#include "graft/rag/make_questions.hpp"
#include "graft/training/interrupt.hpp"
#include "printing.hpp"
#include "progress.hpp"
#include "questions.hpp"

namespace {

void print(const graft::MadeQuestions& made, const std::string& out) {
  const auto& [passages, too_short, empty, copied, repeated, not_found, kept, left_out] = made.report;
  std::printf(
      "%zu passages read, %zu too short; %zu questions kept\nleft out: %zu were no question, %zu copied from the "
      "passage, %zu asked before, %zu did not find their passage\n",
      passages, too_short, made.pairs.size(), empty, copied, repeated, not_found);
  for (const graft::MadeQuestion& question : kept)
    std::printf("  kept      %s\n            %s\n", one_line(question.question, 90).c_str(),
                one_line(question.passage, 90).c_str());
  for (const graft::MadeQuestion& question : left_out)
    std::printf("  left out  %s\n            %s: %s\n", one_line(question.question, 90).c_str(), question.why.c_str(),
                one_line(question.passage, 70).c_str());
  std::printf("written: %s%s\n", out.c_str(), made.stopped ? ", what there was when it was stopped" : "");
}

}  // namespace

int run_questions(const QuestionsCommand& command) {
  const graft::InterruptFlag interrupt;
  if (graft::path_exists(command.out)) throw graft::OptionError(command.out + " is there already; name another file");
  graft::OutputFile out(command.out);  // now, not after the work
  graft::MakeQuestionsOptions options;
  if (!command.where.empty()) options.filter = graft::Filter::parse(command.where);
  if (!command.instructions.empty()) options.instructions = command.instructions;
  options.passages = command.passages;
  options.found_within = command.found_within;
  options.completion = command.language_model.completion();
  ProgressLine line;
  options.stop = [&] { return interrupt.flag().load(); };
  options.progress = [&](const graft::MakeQuestionsProgress& now) {
    line.show(static_cast<double>(now.passages) / static_cast<double>(now.of),
              graft::message(now.kept, " questions kept"));
  };
  const SearchMode mode = mode_named(command.mode);
  Search search(command.store, command.model, mode != SearchMode::bm25);
  const auto generator = command.language_model.open();
  const graft::MadeQuestions made = graft::make_questions(
      *search.store().read(), *generator,
      [&](const std::string& question, std::size_t top) {
        graft::Query query{.text = question, .top = top};
        search.set_mode(query, mode);
        return search.retriever().search(query);
      },
      options);
  line.clear();
  for (const graft::QuestionPairs& pair : made.pairs)
    out.write(graft::Json({{"query", pair.question}, {"positive", pair.positives[0]}}).dump() + "\n");
  if (made.pairs.empty())
    throw graft::OptionError(made.report.passages == 0
                                 ? "no passage is long enough, or fits --where; nothing was written"
                                 : "no question finds its passage again; try a larger language model, or "
                                   "--instructions. Nothing was written");
  out.commit();
  if (command.json)
    std::printf("%s\n", graft::Json({{"passages", made.report.passages},
                                     {"too_short", made.report.too_short},
                                     {"kept", made.pairs.size()},
                                     {"empty", made.report.empty},
                                     {"copied", made.report.copied},
                                     {"repeated", made.report.repeated},
                                     {"not_found", made.report.not_found},
                                     {"written", command.out}})
                            .dump(2)
                            .c_str());
  else
    print(made, command.out);
  return made.stopped ? 130 : 0;
}
