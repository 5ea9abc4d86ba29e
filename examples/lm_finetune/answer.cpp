// lm_finetune answer: what the model says to the last question of each row.

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "data.hpp"
#include "graft/adapters/attach.hpp"
#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/training/interrupt.hpp"
#include "language.hpp"
#include "options.hpp"
#include "progress.hpp"

namespace {

graft::Json json_of(const std::vector<graft::ChatMessage>& messages) {
  constexpr const char* roles[] = {"system", "user", "assistant"};
  graft::Json list = graft::Json::array();
  for (const graft::ChatMessage& message : messages)
    list.push_back({{"role", roles[static_cast<std::size_t>(message.role)]}, {"content", message.text()}});
  return list;
}

}  // namespace

int run_answer(const AnswerOptions& options) {
  const graft::InterruptFlag interrupt;
  graft::check_output_apart(options.out, {options.data, options.language.model, options.language.adapter});
  if (graft::path_exists(options.out)) throw graft::OptionError(options.out + " is there already; name another file");
  graft::OutputFile out(options.out);  // now, not after the work
  const std::vector<Asked> rows = asked(graft::read_conversations(options.data));
  if (rows.empty()) throw graft::OptionError(options.data + " holds no conversation; there is nothing to answer");
  Language language = load_language(options.language);
  if (!options.language.adapter.empty()) graft::merge(*language.model);
  const graft::ChatFormat format = language.chat_format();

  // Of like length together: what a batch costs is its longest answer.
  std::vector<std::vector<std::int32_t>> prompts;
  for (const Asked& row : rows) prompts.push_back(format.encode(language.tokenizer, row.prompt));
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return prompts[a].size() < prompts[b].size(); });
  std::vector<std::string> answers(rows.size());
  ProgressLine line;
  for (std::size_t begin = 0; begin < order.size(); begin += options.batch_size) {
    const std::size_t end = std::min(order.size(), begin + options.batch_size);
    std::vector<std::vector<std::int32_t>> batch;
    for (std::size_t i = begin; i < end; ++i) batch.push_back(prompts[order[i]]);
    const std::vector<std::string> said = answers_to(language, batch, options.answer_tokens);
    for (std::size_t i = begin; i < end; ++i) answers[order[i]] = said[i - begin];
    if (interrupt.flag()) {
      line.clear();
      std::fprintf(stderr, "lm_finetune: stopped; nothing was written\n");
      return 130;
    }
    line.show(static_cast<double>(end) / static_cast<double>(order.size()),
              graft::message(end, " of ", order.size(), " rows answered"));
  }
  line.clear();

  for (std::size_t i = 0; i < rows.size(); ++i)
    out.write(graft::Json({{"prompt", json_of(rows[i].prompt)}, {"expected", rows[i].expected}, {"answer", answers[i]}})
                  .dump() +
              "\n");
  out.commit();
  return 0;
}
