#include "graft/generation/generate.hpp"
#include "graft/generation/detail/generated_text.hpp"

#include <gtest/gtest.h>

#include "support/error_message.hpp"

namespace graft::generate_test {
namespace {

using Ids = std::vector<std::int32_t>;

CausalConfig small() {
  CausalConfig config;
  config.vocab_size = 40;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.max_position_embeddings = 30;
  config.initializer_range = 0.5;
  return config;
}

CausalLM small_model() {
  torch::manual_seed(1);
  CausalLM model(small());
  model->eval();
  return model;
}

/// One byte for each token.
std::string letters(std::span<const std::int32_t> ids) {
  std::string text;
  for (const std::int32_t id : ids) text += static_cast<char>('A' + id);
  return text;
}

const std::vector<Ids> prompts{{3, 9, 4}, {7}, {5, 5, 8, 1, 2}};

TEST(Generate, ATextDoesNotDependOnTheOthers) {
  CausalLM model = small_model();
  for (const double temperature : {0.0, 1.0}) {
    const GenerateOptions options{.sampling = {.temperature = temperature}, .max_tokens = 12};
    const std::vector<Generation> together = generate(model, prompts, options);
    ASSERT_EQ(together.size(), 3);
    // The first of a call draws as the first of another: stream 0.
    EXPECT_EQ(generate(model, {prompts.data(), 1}, options)[0].ids, together[0].ids);
    EXPECT_EQ(generate(model, prompts, options)[2].ids, together[2].ids);
    for (const Generation& text : together) {
      EXPECT_EQ(text.ids.size(), 12);
      EXPECT_EQ(text.reason, GenerationEnd::limit);
    }
  }
}

TEST(Generate, EndsAtAStopId) {
  CausalLM model = small_model();
  const Ids all = generate(model, prompts, {.max_tokens = 8})[0].ids;
  const auto at = static_cast<std::size_t>(std::ranges::find(all, all[3]) - all.begin());
  const Generation stopped = generate(model, prompts, {.max_tokens = 8, .stop_ids = {all[3]}})[0];
  EXPECT_EQ(stopped.reason, GenerationEnd::stop_id);
  EXPECT_EQ(stopped.ids, Ids(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at)));

  CausalConfig config = small();
  config.eos_token_ids = {all[0]};
  torch::manual_seed(1);
  CausalLM with_end(config);
  with_end->eval();
  EXPECT_TRUE(generate(with_end, prompts, {.max_tokens = 8})[0].ids.empty());
  EXPECT_EQ(generate(with_end, prompts, {.max_tokens = 8, .stop_at_eos = false})[0].ids, all);
}

TEST(Generate, EndsBeforeAStopText) {
  CausalLM model = small_model();
  const Generation all = generate(model, prompts, {.max_tokens = 9, .decode = letters})[1];
  EXPECT_EQ(all.text, letters(all.ids));
  const std::string stop = all.text.substr(4, 2);
  std::string streamed;
  const Generation stopped =
      generate(model, {&prompts[1], 1}, {.max_tokens = 9, .stop_texts = {"~~", stop}, .decode = letters},
               [&](const GenerationStep& step) {
                 streamed += step.text;
                 return true;
               })[0];
  EXPECT_EQ(stopped.reason, GenerationEnd::stop_text);
  EXPECT_EQ(stopped.text, all.text.substr(0, all.text.find(stop)));
  EXPECT_EQ(stopped.ids.size(), all.text.find(stop) + 2);
  EXPECT_EQ(streamed, stopped.text);
}

TEST(Generate, EndsWhenTheContextIsFull) {
  CausalLM model = small_model();
  const Generation text = generate(model, prompts, {.max_tokens = 100})[2];
  EXPECT_EQ(text.reason, GenerationEnd::context);
  EXPECT_EQ(text.ids.size(), 30 - 5 + 1);  // the last token is never looked back at
  const std::vector<Ids> full{Ids(30, 4)}, over{Ids(31, 4)};
  EXPECT_EQ(generate(model, full)[0].ids.size(), 1);
  EXPECT_EQ(error_message([&] { generate(model, over); }),
            "ShapeError: sequence 0 of the batch comes to 31 tokens; the model takes 30. Give it a shorter text");
}

TEST(Generate, TheCallbackSeesEveryTokenAndEndsATextOfItsOwn) {
  CausalLM model = small_model();
  std::vector<Ids> seen(3);
  const std::vector<Generation> texts = generate(model, prompts, {.max_tokens = 6}, [&](const GenerationStep& step) {
    seen[step.sequence].push_back(step.id);
    EXPECT_TRUE(step.text.empty());
    return step.sequence != 1 || seen[1].size() < 2;
  });
  for (std::size_t n = 0; n < 3; ++n) EXPECT_EQ(texts[n].ids, seen[n]);
  EXPECT_EQ(texts[1].ids.size(), 2);
  EXPECT_EQ(texts[1].reason, GenerationEnd::caller);
  EXPECT_EQ(texts[2].ids.size(), 6);
}

TEST(Generate, HoldsBackUnfinishedCharactersAndWhatAStopTextBeginsWith) {
  detail::GeneratedText text({"STOP"});
  EXPECT_FALSE(text.grow("a\xEF\xBF\xBD"));
  EXPECT_EQ(text.next_piece(false), "a");
  EXPECT_FALSE(text.grow("a\xC3\xA9ST"));
  EXPECT_EQ(text.next_piece(false), "\xC3\xA9");
  EXPECT_FALSE(text.grow("a\xC3\xA9STO "));
  EXPECT_EQ(text.next_piece(false), "STO ");
  EXPECT_TRUE(text.grow("a\xC3\xA9STO STOPPED"));
  EXPECT_EQ(text.next_piece(true), "");
  EXPECT_EQ(text.take(), "a\xC3\xA9STO ");
}

TEST(Generate, RefusesWhatItCannotDo) {
  CausalLM model = small_model();
  const std::vector<Ids> empty{{}}, outside{{40}};
  EXPECT_TRUE(generate(model, {}).empty());
  EXPECT_EQ(error_message([&] { generate(model, empty); }),
            "OptionError: prompt 0 has no token; begin it with the model's first");
  EXPECT_EQ(error_message([&] { generate(model, outside); }),
            "OptionError: token id 40 at token 0 of the batch; the model has 0 to 39. Was the text encoded with this "
            "model's tokenizer?");
  EXPECT_EQ(error_message([&] { generate(model, prompts, {.max_tokens = 0}); }),
            "OptionError: max_tokens is 0; choose at least 1");
  EXPECT_EQ(error_message([&] { generate(model, prompts, {.stop_texts = {"x"}}); }),
            "OptionError: stop_texts are given without decode, by which they are found; set it to the tokenizer's");
  model->train();
  EXPECT_EQ(error_message([&] { generate(model, prompts); }),
            "StateError: the model is in training mode and would drop out; call eval() first");
}

// ------------------------------------------------------------------------------------------------ the cache below it

TEST(KvCache, AnySplitOfATextGivesTheSameLogits) {
  CausalLM model = small_model();
  const torch::NoGradGuard no_grad;
  const std::vector<Ids> texts{{3, 9, 4, 1, 1, 30, 2, 8, 7}, {5, 6, 7, 8}};
  const torch::Tensor whole = model(pack(texts));
  for (const std::size_t first : {1, 3}) {
    KvCache cache = model->make_cache(2);
    std::vector<Ids> head{Ids(texts[0].begin(), texts[0].begin() + static_cast<std::ptrdiff_t>(first)), texts[1]};
    std::vector<Ids> tail{Ids(texts[0].begin() + static_cast<std::ptrdiff_t>(first), texts[0].end()), {}};
    const torch::Tensor one = model->next(pack(head), cache), two = model->next(pack(tail), cache);
    EXPECT_TRUE(torch::allclose(one[0], whole[static_cast<std::int64_t>(first) - 1], 1e-5, 1e-5));
    EXPECT_TRUE(torch::allclose(one[1], whole[12], 1e-5, 1e-5));
    ASSERT_EQ(two.size(0), 1);
    EXPECT_TRUE(torch::allclose(two[0], whole[8], 1e-5, 1e-5));
    EXPECT_EQ(cache.length(0), 9);
    EXPECT_EQ(cache.length(1), 4);

    cache.truncate(0, 5);
    const std::vector<Ids> again{Ids(texts[0].begin() + 5, texts[0].end()), {}};
    EXPECT_TRUE(torch::allclose(model->next(pack(again), cache)[0], whole[8], 1e-5, 1e-5));
  }
}

TEST(KvCache, AFailedCallLeavesItAsItWas) {
  CausalLM model = small_model();
  KvCache cache = model->make_cache(1, 4);
  const std::vector<Ids> text{{3, 9}}, bad{{99}};
  model->next(pack(text), cache);
  EXPECT_NE(error_message([&] { model->next(pack(bad), cache); }), "(no error)");
  EXPECT_EQ(cache.length(0), 2);
  EXPECT_EQ(error_message([&] { cache.truncate(0, 3); }),
            "OptionError: sequence 0 of the cache has 2 tokens and cannot be cut to 3");
  EXPECT_EQ(error_message([&] { model->next(pack(prompts), cache); }),
            "ShapeError: a batch of 3 sequences for a model of 2 layers, with a cache of 1 and 2 layers");
}

}  // namespace
}  // namespace graft::generate_test
