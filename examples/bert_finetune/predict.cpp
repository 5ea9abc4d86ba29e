// bert_finetune predict: a line of standard output for each line of standard input, as soon as it is known when a
// person types.

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "classifier.hpp"
#include "graft/core/json.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/text/tokenizer.hpp"
#include "options.hpp"

int run_predict(const PredictOptions& options) {
  const torch::NoGradGuard no_grad;
  const graft::Tokenizer tokenizer = graft::Tokenizer::load(options.model);
  Classifier model = load_trained(options.model, options.adapter, options.dtype);
  const std::vector<std::string>& labels = model->config().labels;
  const std::size_t batch_size = isatty(STDIN_FILENO) == 1 ? 1 : 32;

  long long rows = 0, cut = 0;
  bool more = true;
  while (more) {
    std::vector<std::string> texts;
    std::string line;
    while (texts.size() < batch_size && (more = static_cast<bool>(std::getline(std::cin, line)))) {
      if (line.ends_with('\r')) line.pop_back();
      texts.push_back(line);
    }
    if (texts.empty()) break;
    std::vector<std::vector<std::int32_t>> ids;
    for (auto& encoding : tokenizer.encode_batch(texts, {.max_length = options.max_length})) {
      cut += encoding.cut > 0 ? 1 : 0;
      ids.push_back(std::move(encoding.ids));
    }
    const torch::Tensor logits = model(graft::pack(ids)).to(torch::kFloat64).contiguous();
    if (!logits.isfinite().all().item<bool>())
      throw graft::StateError("the model gives logits that are no numbers; its files, or the adapter's, are damaged");
    const torch::Tensor probabilities = torch::softmax(logits, 1).contiguous();
    for (std::size_t row = 0; row < texts.size(); ++row) {
      const auto values = [&](const torch::Tensor& of) {
        const double* first = of.const_data_ptr<double>() + row * labels.size();
        return std::vector<double>(first, first + labels.size());
      };
      const std::vector<double> chances = values(probabilities);
      const auto best = static_cast<std::size_t>(std::max_element(chances.begin(), chances.end()) - chances.begin());
      if (options.json) {
        std::cout << graft::Json{{"label", labels[best]}, {"probabilities", chances}, {"logits", values(logits)}}
                  << '\n';
      } else {
        std::cout << labels[best] << '\t' << chances[best] << '\t' << texts[row] << '\n';
      }
    }
    std::cout.flush();
    rows += static_cast<long long>(texts.size());
  }
  if (cut > 0)
    std::fprintf(stderr, "note: %lld of %lld texts were cut to %zu tokens; see --max-length\n", cut, rows,
                 options.max_length);
  return 0;
}
