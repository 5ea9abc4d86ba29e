// lm_finetune score: how likely a model holds the answers of rows.

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "data.hpp"
#include "graft/adapters/attach.hpp"
#include "graft/core/json.hpp"
#include "graft/training/interrupt.hpp"
#include "language.hpp"
#include "options.hpp"
#include "printing.hpp"
#include "progress.hpp"

namespace {

struct RowScore {
  std::size_t source = 0;  // row of the file
  double loss = 0;         // summed over its learned tokens
  double tokens = 0;
};

double perplexity(double loss, double tokens) { return std::exp(loss / tokens); }

std::vector<RowScore> score_rows(graft::CausalLM& model, const graft::LearnedTokens& data,
                                 const graft::InterruptFlag& stop) {
  const torch::NoGradGuard no_grad;
  std::vector<RowScore> out;
  ProgressLine line;
  for (std::int64_t row = 0; row < data.size() && !stop.flag(); ++row) {
    const std::vector<std::int64_t> rows{row};
    const auto batch = data.batch(rows);
    const torch::Tensor values = model->log_probabilities(batch.tokens, batch.labels).values;
    if (!values.isfinite().all().item<bool>())
      throw graft::StateError("the model gives logits that are no numbers; its files, or the adapter's, are damaged");
    out.push_back(
        {data.source(row), -values.to(torch::kFloat64).sum().item<double>(), static_cast<double>(values.numel())});
    line.show(static_cast<double>(row + 1) / static_cast<double>(data.size()),
              graft::message(row + 1, " of ", data.size(), " rows"));
  }
  line.clear();
  return out;
}

}  // namespace

int run_score(const ScoreOptions& options) {
  const graft::InterruptFlag interrupt;
  graft::ConversationFile file = graft::read_conversations(options.data);
  if (file.form == graft::ConversationForm::preference)
    throw graft::OptionError(options.data + " holds preferences; score takes rows with one answer each");
  Language language = load_language(options.language);
  if (!options.language.adapter.empty()) graft::merge(*language.model);
  const Rows rows =
      encode_rows(std::move(file), language, {.learn = options.learn, .max_length = options.max_length, .overlap = 1});
  const graft::LearnedTokens& data = rows.learned();
  graft::check_ids(data, language.model->config().vocab_size);
  const std::vector<RowScore> scores = score_rows(language.model, data, interrupt);
  if (interrupt.flag()) return std::fprintf(stderr, "lm_finetune: stopped\n"), 130;
  double loss = 0, tokens = 0;
  for (const RowScore& row : scores) {
    loss += row.loss;
    tokens += row.tokens;
  }
  if (options.json) {
    graft::Json report = {{"rows", data.size()},   {"tokens", tokens},
                          {"loss", loss / tokens}, {"perplexity", perplexity(loss, tokens)},
                          {"cut", data.cut()},     {"dropped", data.dropped()}};
    if (options.rows) {
      report["of_rows"] = graft::Json::array();
      for (const RowScore& row : scores)
        report["of_rows"].push_back({{"row", row.source + 1}, {"tokens", row.tokens}, {"loss", row.loss / row.tokens}});
    }
    std::printf("%s\n", report.dump(2).c_str());
    return 0;
  }
  if (options.rows)
    for (const RowScore& row : scores)
      std::printf("row %zu: %.0f tokens, loss %.4f, perplexity %.3f\n", row.source + 1, row.tokens,
                  row.loss / row.tokens, perplexity(row.loss, row.tokens));
  std::printf("%lld rows, %.0f tokens: loss %.4f a token, perplexity %.3f\n", static_cast<long long>(data.size()),
              tokens, loss / tokens, perplexity(loss, tokens));
  return 0;
}
