// Times training steps of both sides of an encoder, every weight, so that anything else can be timed beside it.
//
//   encoder_step --model DIR --pairs pairs.jsonl --batch 64 --max-tokens 128
//
// Reads lines "exact N" or "timed N" and answers each with a line of JSON: the losses of the next N batches of the
// pairs in their order, without dropout, or with it and the seconds they took; and the process's peak memory.

#include <chrono>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/usage.hpp"
#include "graft/models/sentence_encoder.hpp"
#include "graft/rag/text_pairs.hpp"
#include "graft/retrieval/pairs.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/ranking_loss.hpp"
#include "graft/training/step.hpp"

int main(int argc, char** argv) {
  graft::keep_freed_memory();
  CLI::App app("Times training steps of an encoder.");
  std::string model, pairs;
  std::int64_t batch = 64;
  std::size_t max_tokens = 128;
  int threads = 0;
  app.add_option("--model", model)->required();
  app.add_option("--pairs", pairs)->required();
  app.add_option("--batch", batch)->capture_default_str();
  app.add_option("--max-tokens", max_tokens)->capture_default_str();
  app.add_option("--threads", threads);
  CLI11_PARSE(app, argc, argv);
  if (threads > 0) at::set_num_threads(threads);

  graft::SentenceEncoder encoder(model);
  const std::vector<graft::QuestionPairs> rows = graft::read_pairs(pairs).rows;
  const graft::TextPairs data(rows, *encoder, {.max_tokens = max_tokens});
  graft::AdamW optimizer(graft::decay_groups(*encoder, 5e-5, 0.0));
  std::int64_t at = 0;
  std::string kind;
  for (int steps = 0; std::cin >> kind >> steps;) {
    encoder->train(kind == "timed");
    graft::Json losses = graft::Json::array();
    const auto start = std::chrono::steady_clock::now();
    for (int step = 0; step < steps; ++step) {
      std::vector<std::int64_t> chosen(static_cast<std::size_t>(batch));
      std::iota(chosen.begin(), chosen.end(), at);
      at = at + 2 * batch <= data.size() ? at + batch : 0;
      const graft::StepGradients made = graft::make_gradients(
          optimizer, 1,
          [&](std::size_t) {
            const graft::TextPairs::Batch now = data.batch(chosen);
            return graft::in_batch_softmax(encoder(now.questions), encoder(now.answers), now.not_rivals);
          },
          1.0);
      optimizer.step(1.0, made.scale.divisor);
      losses.push_back(made.loss.mean().item<double>());
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::cout << graft::Json({{"losses", losses}, {"seconds", seconds}, {"peak_rss_bytes", graft::peak_memory_bytes()}})
                     .dump()
              << std::endl;
  }
}
