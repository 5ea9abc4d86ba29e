#pragma once

#include <algorithm>
#include <set>
#include <utility>

#include "graft/generation/detail/generated_text.hpp"
#include "graft/generation/generate.hpp"
#include "graft/tensor/packed.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE void check_generation(const CausalLM& model, std::span<const std::vector<std::int32_t>> prompts,
                                   const GenerateOptions& options) {
  options.sampling.check();
  if (options.max_tokens < 1) throw OptionError(message("max_tokens is ", options.max_tokens, "; choose at least 1"));
  if (!options.stop_texts.empty() && !options.decode)
    throw OptionError("stop_texts are given without decode, by which they are found; set it to the tokenizer's");
  for (const std::string& stop : options.stop_texts)
    if (stop.empty()) throw OptionError("a stop text is empty; every text would end at once");
  for (std::size_t n = 0; n < prompts.size(); ++n)
    if (prompts[n].empty()) throw OptionError(message("prompt ", n, " has no token; begin it with the model's first"));
  if (model->is_training()) throw StateError("the model is in training mode and would drop out; call eval() first");
}

/// One text being continued.
struct Continuation {
  Continuation(const GenerateOptions& options, std::size_t n, const std::vector<std::int32_t>& prompt)
      : sampler(options.sampling, n), all(prompt), text(options.stop_texts) {}

  TokenSampler sampler;
  std::vector<std::int32_t> all;  // prompt and continuation
  GeneratedText text;
  Generation result;
  bool open = true;

  void end(GenerationEnd reason) {
    result.reason = reason;
    open = false;
  }
};

}  // namespace detail

GRAFT_INLINE std::vector<Generation> generate(CausalLM model, std::span<const std::vector<std::int32_t>> prompts,
                                              const GenerateOptions& options, const GenerationCallback& on_token) {
  detail::check_generation(model, prompts, options);
  if (prompts.empty()) return {};
  const torch::NoGradGuard no_grad;
  std::set<std::int32_t> stops(options.stop_ids.begin(), options.stop_ids.end());
  if (options.stop_at_eos) stops.insert(model->config().eos_token_ids.begin(), model->config().eos_token_ids.end());

  std::vector<detail::Continuation> texts;
  std::int64_t longest = 0;
  for (std::size_t n = 0; n < prompts.size(); ++n) {
    texts.emplace_back(options, n, prompts[n]);
    longest = std::max(longest, static_cast<std::int64_t>(prompts[n].size()));
  }
  const std::int64_t context = model->config().max_position_embeddings;
  KvCache cache = model->make_cache(static_cast<std::int64_t>(prompts.size()),
                                    std::min(context, longest + std::min<std::int64_t>(options.max_tokens, 512)));
  const torch::Device device = model->parameters().front().device();

  // Appends a token to its text. The text may end by it.
  const auto append = [&](std::size_t n, std::int32_t id) {
    detail::Continuation& text = texts[n];
    if (stops.contains(id)) return text.end(GenerationEnd::stop_id);
    text.all.push_back(id);
    text.result.ids.push_back(id);
    const bool stopped = options.decode && text.text.grow(options.decode(text.result.ids));
    if (stopped) text.end(GenerationEnd::stop_text);
    if (on_token && !on_token({n, id, text.text.next_piece(stopped)}) && text.open) text.end(GenerationEnd::caller);
    if (!text.open) return;
    if (static_cast<std::int64_t>(text.result.ids.size()) >= options.max_tokens) return text.end(GenerationEnd::limit);
    if (static_cast<std::int64_t>(text.all.size()) > context) text.end(GenerationEnd::context);
  };

  std::vector<std::vector<std::int32_t>> tokens(prompts.begin(), prompts.end());
  while (std::ranges::any_of(texts, &detail::Continuation::open)) {
    const torch::Tensor logits =
        model->next(pack(tokens).to(device), cache).to(torch::kCPU, torch::kFloat32).contiguous();
    const auto vocabulary = static_cast<std::size_t>(logits.size(1));
    float* row = logits.data_ptr<float>();
    for (std::size_t n = 0; n < texts.size(); ++n) {
      tokens[n].clear();
      if (!texts[n].open) continue;
      append(n, texts[n].sampler.choose({row, vocabulary}, texts[n].all));
      row += vocabulary;
      if (texts[n].open) tokens[n] = {texts[n].all.back()};
    }
  }

  std::vector<Generation> results;
  for (detail::Continuation& text : texts) {
    text.result.text = text.text.take();
    results.push_back(std::move(text.result));
  }
  return results;
}

}  // namespace graft
