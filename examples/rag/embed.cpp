#include "embed.hpp"

#include <chrono>
#include <cstdio>
#include <iostream>
#include <vector>

#include "graft/core/output.hpp"
#include "graft/rag/embedder.hpp"
#include "graft/tensor/state.hpp"

int run_embed(const EmbedOptions& options) {
  if (!options.out.empty() && graft::path_exists(options.out))
    throw graft::OptionError(options.out + " is there already; name another file");
  if (!options.out.empty()) graft::OutputFile{options.out};  // now, not after the embedding
  std::int64_t tokens = 0;
  const graft::Embedder embedder(options.model, {.progress = [&](std::int64_t, std::int64_t n) { tokens += n; }});
  std::string prompt;
  if (!options.prompt.empty()) {
    const auto found = embedder.prompts().find(options.prompt);
    if (found == embedder.prompts().end())
      throw graft::OptionError(
          graft::message(options.model, " has no prompt ", graft::quoted(options.prompt), "; leave --prompt out"));
    prompt = found->second;
  }
  std::vector<std::string> texts;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.ends_with('\r')) line.pop_back();
    texts.push_back(std::move(line));
  }
  torch::Tensor vectors;
  for (int i = 0; i < options.repeat; ++i) {
    tokens = 0;
    const auto start = std::chrono::steady_clock::now();
    vectors = embedder.embed(texts, prompt);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::fprintf(stderr, "%zu texts, %lld tokens, %.3f s: %.1f texts/s, %.0f tokens/s\n", texts.size(),
                 static_cast<long long>(tokens), seconds, static_cast<double>(texts.size()) / seconds,
                 static_cast<double>(tokens) / seconds);
  }
  if (!options.out.empty()) {
    graft::save_tensors(options.out, {{"vectors", vectors}});
    return 0;
  }
  const float* number = vectors.const_data_ptr<float>();
  for (std::int64_t i = 0; i < vectors.size(0); ++i) {
    for (std::int64_t j = 0; j < vectors.size(1); ++j) std::printf("%s%.9g", j == 0 ? "[" : ", ", *number++);
    std::printf("]\n");
  }
  return 0;
}
