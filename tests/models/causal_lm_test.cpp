#include "graft/models/causal_lm.hpp"

#include <gtest/gtest.h>

#include "graft/models/load.hpp"
#include "graft/models/save.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft::causal_lm_test {
namespace {

using Ids = std::vector<std::int32_t>;

CausalConfig small(const std::string& family = "llama") {
  CausalConfig config;
  config.model_type = family;
  config.vocab_size = 20;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.num_key_value_heads = family == "gpt2" ? 2 : 1;
  config.head_dim = 4;
  config.max_position_embeddings = 10;
  config.initializer_range = 0.5;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = family == "gpt2";
  return config;
}

const std::vector<Ids> texts{{1, 2, 3, 4}, {5}, {6, 7}};

TEST(CausalLM, JudgesOnlyWhatHasALabelBehindASequencesFirstToken) {
  CausalLM model(small());
  const torch::Tensor labels = torch::tensor({1, -100, 3, 4, 5, 6, 9}, torch::kInt64);
  const auto [logits, targets] = model->predictions(pack(texts), labels);
  EXPECT_TRUE(torch::equal(targets, torch::tensor({3, 4, 9}, torch::kInt64)));
  const torch::Tensor all = model(pack(texts)), wanted = all.index_select(0, torch::tensor({1, 2, 5}, torch::kInt64));
  EXPECT_TRUE(torch::allclose(logits, wanted, 1e-5, 1e-6));
  EXPECT_EQ(model->predictions(pack(texts), torch::full({7}, -100, torch::kInt64)).logits.size(0), 0);
}

TEST(CausalLM, NamesWhatDoesNotFit) {
  CausalLM model(small());
  const auto labelled = [&](const torch::Tensor& labels) {
    return error_message([&] { model->predictions(pack(texts), labels); });
  };
  EXPECT_EQ(labelled(torch::zeros({3}, torch::kInt64)),
            "ShapeError: labels are [3] of type Long for 7 tokens; give one int64 a token");
  EXPECT_EQ(labelled(torch::full({7}, 20, torch::kInt64)),
            "OptionError: label 20 at token 0 of the batch; give an id from 0 to 19, or -100 where nothing is to be "
            "judged");
  const std::vector<Ids> none{{}}, longer{Ids(11, 1)};
  EXPECT_EQ(error_message([&] { model(pack(none)); }),
            "ShapeError: sequence 0 of the batch has no token; leave it out");
  EXPECT_EQ(error_message([&] { model(pack(longer)); }),
            "ShapeError: sequence 0 of the batch comes to 11 tokens; the model takes 10. Give it a shorter text");
  PackedBatch limited = pack(texts);
  limited.limit = 10;
  const std::string refused =
      "OptionError: a causal language model reads its batch on the host; give it one without a limit, as pack() makes "
      "it";
  EXPECT_EQ(error_message([&] { model(limited); }), refused);
  EXPECT_EQ(error_message([&] { model->predictions(limited, torch::zeros({7}, torch::kInt64)); }), refused);
}

TEST(CausalLM, LaterTokensChangeNothingBefore) {
  const torch::NoGradGuard no_grad;
  for (const char* family : {"llama", "gpt2"}) {
    CausalLM model(small(family));
    model->eval();
    const std::vector<Ids> other{{1, 2, 3, 19}, {5}, {6, 8}};
    const torch::Tensor a = model(pack(texts)), b = model(pack(other));
    EXPECT_TRUE(torch::equal(a.narrow(0, 0, 3), b.narrow(0, 0, 3))) << family;
    EXPECT_FALSE(torch::equal(a[3], b[3])) << family;
    EXPECT_TRUE(torch::equal(a.narrow(0, 4, 2), b.narrow(0, 4, 2))) << family;
  }
}

TEST(CausalLM, LoadsInAnyTypeAndDrawsNoNumber) {
  const torch::NoGradGuard no_grad;
  const TemporaryDirectory directory;
  for (const char* family : {"llama", "gpt2"}) {
    CausalLM model(small(family));
    model->eval();
    save_pretrained(directory / family, model);
    const torch::Tensor before = at::detail::getDefaultCPUGenerator().get_state();
    CausalLM loaded = load_pretrained<CausalLM>(directory / family).model;
    CausalLM wide = load_pretrained<CausalLM>(directory / family, {.dtype = torch::kFloat64}).model;
    EXPECT_TRUE(torch::equal(at::detail::getDefaultCPUGenerator().get_state(), before));
    EXPECT_TRUE(torch::equal(loaded(pack(texts)), model(pack(texts)))) << family;
    EXPECT_EQ(wide(pack(texts)).scalar_type(), torch::kFloat64);
    for (const torch::Tensor& parameter : loaded->parameters()) EXPECT_TRUE(parameter.requires_grad());
    CausalLM narrow = load_pretrained<CausalLM>(directory / family, {.dtype = torch::kBFloat16}).model;
    KvCache cache = narrow->make_cache(3);
    narrow->next(pack(texts), cache);
    const std::vector<Ids> more{{9}, {9}, {9}};
    const torch::Tensor next = narrow->next(pack(more), cache);
    KvCache wide_cache = wide->make_cache(3);
    wide->next(pack(texts), wide_cache);
    // Eight bits of mantissa through two layers.
    EXPECT_TRUE(torch::allclose(next.to(torch::kFloat64), wide->next(pack(more), wide_cache), 0.1, 0.1)) << family;
  }
  EXPECT_EQ(error_message([&] { load_pretrained<CausalLM>(directory / "llama", {.labels = {"yes"}}); }),
            "OptionError: labels are given for a model that has no classifier; leave them out");
}

}  // namespace
}  // namespace graft::causal_lm_test
