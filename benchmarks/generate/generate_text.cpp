// Times a language model: reading a prompt, and writing tokens after it, so that anything else can be timed beside it.
//
//   generate_text --model FILE.gguf --prompt 512 --tokens 64 --rounds 5 --json
//
// The prompt is made up: token t has the id 1000 + 7919 t mod (vocabulary - 1000). Tokens are the likeliest ones.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include <nlohmann/json.hpp>

#include "../peft/peak.hpp"
#include "bandwidth.hpp"
#include "graft/core/json.hpp"
#include "graft/core/usage.hpp"
#include "graft/generation/generate.hpp"
#include "graft/models/gguf.hpp"
#include "graft/models/load.hpp"
#include "graft/tensor/allocator.hpp"

namespace {

struct Options {
  std::string model, weights = "float32";
  std::int64_t prompt = 512, tokens = 64;
  int rounds = 5, threads = 0;
  bool json = false, paced = false, peak = false;
};

struct Times {
  double prompt_ms, token_ms;
};

Times measure(const graft::CausalLM& model, const Options& options, std::vector<std::int32_t>& ids) {
  using Clock = std::chrono::steady_clock;
  std::vector<std::int32_t> prompt;
  for (std::int64_t t = 0; t < options.prompt; ++t)
    prompt.push_back(static_cast<std::int32_t>(1000 + 7919 * t % (model->config().vocab_size - 1000)));
  Clock::time_point first;
  bool begun = false;
  const auto start = Clock::now();
  const auto made = graft::generate(model, {&prompt, 1}, {.max_tokens = options.tokens, .stop_at_eos = false},
                                    [&](const graft::GenerationStep&) {
                                      if (!begun) first = Clock::now();
                                      begun = true;
                                      return true;
                                    });
  const auto end = Clock::now();
  ids = made.front().ids;
  const auto ms = [](Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); };
  return {ms(first - start), ms(end - first) / static_cast<double>(std::max<std::int64_t>(options.tokens - 1, 1))};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2.0;
}

/// Weights of two dimensions, all of which a token reads: multiplications, and bytes as they are held.
graft::Json weights(const graft::CausalLM& model) {
  std::int64_t numbers = 0, bytes = 0;
  for (const auto& parameter : model->named_parameters()) {
    if (parameter.value().dim() != 2) continue;
    if (parameter.key().ends_with("embed_tokens.weight") && !model->config().tie_word_embeddings) continue;
    numbers += parameter.value().numel();
    bytes += static_cast<std::int64_t>(parameter.value().nbytes());
  }
  const std::int64_t head = model->config().vocab_size * model->config().hidden_size;
  return {{"numbers", numbers}, {"bytes", bytes}, {"head_numbers", head}};
}

void run(const Options& options) {
  const bool directory = std::filesystem::is_directory(options.model);
  graft::PretrainedOptions how;
  if (options.weights == "bfloat16") how.linear_dtype = torch::kBFloat16;
  const graft::CausalLM model = directory ? graft::load_pretrained<graft::CausalLM>(options.model, how).model
                                          : graft::load_gguf(options.model, how).model;
  std::vector<double> prompts, tokens;
  std::vector<std::int32_t> ids;
  measure(model, options, ids);
  for (int round = 0; round < options.rounds; ++round) {
    if (std::string line; options.paced && !std::getline(std::cin, line)) break;
    const Times times = measure(model, options, ids);
    prompts.push_back(times.prompt_ms);
    tokens.push_back(times.token_ms);
    if (options.paced) {
      std::cout << graft::Json{{"prompt_ms", times.prompt_ms}, {"token_ms", times.token_ms}} << std::endl;
    } else if (!options.json) {
      std::printf("prompt %.1f ms, a token %.2f ms\n", times.prompt_ms, times.token_ms);
    }
  }
  graft::Json figures = {{"prompt_ms", median(prompts)},    {"token_ms", median(tokens)},
                         {"weights", weights(model)},       {"peak_rss_bytes", graft::peak_memory_bytes()},
                         {"prompt_tokens", options.prompt}, {"ids", ids}};
  if (options.peak) {
    figures["peak_gflops"] = peak::gflops(at::get_num_threads());
    figures["read_gigabytes_per_second"] = bandwidth::gigabytes_per_second(at::get_num_threads());
  }
  std::cout << figures.dump(options.json ? -1 : 2) << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  graft::keep_freed_memory();
  CLI::App app("Times a language model: reading a made-up prompt, and writing the likeliest tokens after it.");
  app.get_formatter()->column_width(34);
  Options options;
  app.add_option("--model", options.model, "a GGUF file or a Hugging Face directory")->required();
  app.add_option("--weights", options.weights, "of linear layers: held in float32 or bfloat16")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  app.add_option("--prompt", options.prompt, "tokens of the prompt")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--tokens", options.tokens, "tokens to write")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--rounds", options.rounds, "how often")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--threads", options.threads, "0: one for each core")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--json", options.json, "print one line: the figures as JSON");
  app.add_flag("--peak", options.peak, "measure the processor's float32 peak and the memory's speed as well");
  app.add_flag("--paced", options.paced,
               "wait for a line on standard input before each round and answer with its times, so that another program "
               "can take turns");
  CLI11_PARSE(app, argc, argv);
  try {
    if (options.threads > 0) at::set_num_threads(options.threads);
    run(options);
    return 0;
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "generate_text: %s\n", error.what_without_backtrace());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "generate_text: %s\n", error.what());
  }
  return 1;
}
