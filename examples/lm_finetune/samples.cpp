#include "samples.hpp"

#include <cstdio>
#include <string>
#include <utility>

#include "graft/core/error.hpp"
#include "printing.hpp"

SampleAnswers::SampleAnswers(Language& language, std::vector<Asked> questions)
    : language_(language), questions_(std::move(questions)) {
  for (const Asked& question : questions_)
    prompts_.push_back(language_.chat_format().encode(language_.tokenizer, question.prompt));
}

void SampleAnswers::on_evaluation(const graft::EvaluationRecord& evaluation) {
  show(graft::message("after step ", evaluation.step));
}

void SampleAnswers::show(const std::string& when) {
  if (questions_.empty()) return;
  constexpr std::size_t most_tokens = 60, shown = 160;
  const bool training = language_.model->is_training();
  language_.model->eval();
  const std::vector<std::string> answers = answers_to(language_, prompts_, most_tokens);
  language_.model->train(training);
  std::fprintf(stderr, "%s it says\n", when.c_str());
  for (std::size_t i = 0; i < questions_.size(); ++i)
    std::fprintf(stderr, "  to   %s\n  says %s\n", one_line(questions_[i].prompt.back().text(), shown).c_str(),
                 one_line(answers[i], shown).c_str());
}
