// Kinds of adapters x tied or not x loaded, merged, unmerged, saved and merged into files, against PEFT: what is loaded
// must answer as what was saved, whichever way it went. Errors are relative to the largest logit; transformers takes
// norms and angles in float32.

#include <filesystem>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/merge_dir.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/load.hpp"
#include "graft/models/save.hpp"
#include "support/error_message.hpp"
#include "support/python.hpp"
#include "support/safetensors.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

const fs::path& reference() {
  static const TemporaryDirectory directory;
  static const bool made = [] {
    run_python("peft_matrix.py", {"make", directory.path().string()});
    return true;
  }();
  EXPECT_TRUE(made);
  return directory.path();
}

template <class Model>
Model loaded(const fs::path& directory) {
  return load_pretrained<Model>(directory, {.dtype = torch::kFloat64}).model;
}

template <class Model>
torch::Tensor logits_of(Model& model, const torch::Tensor& ids) {
  const torch::NoGradGuard no_grad;
  std::vector<std::vector<std::int32_t>> rows;
  for (const torch::Tensor& row : ids.unbind()) {
    std::vector<std::int32_t> one;
    for (const torch::Tensor& id : row.unbind()) one.push_back(id.item<std::int32_t>());
    rows.push_back(one);
  }
  return model(pack(rows)).view({ids.size(0), ids.size(1), -1});
}

double error(const torch::Tensor& ours, const torch::Tensor& theirs) {
  return ((ours - theirs).abs().max() / theirs.abs().max()).item<double>();
}

struct Row {
  std::string model, kind;
  bool tied() const { return model != "llama_untied"; }
  bool files() const { return kind != "ia3" && kind != "rows"; }  // merge_dir() takes low rank without a model
};

template <class Model>
void check(const Row& row) {
  SCOPED_TRACE(row.model + " " + row.kind);
  const fs::path base = reference() / row.model / "base", place = reference() / row.model / row.kind;
  const auto expected = read_all(place / "expected.safetensors");
  const torch::Tensor ids = expected.at("ids"), logits = expected.at("logits");
  const auto right = [&](Model& model, const char* when) {
    EXPECT_LT(error(logits_of(model, ids), logits), 1e-6) << when;
  };
  const TemporaryDirectory out;

  if (row.files()) {
    const auto merge = [&] { merge_dir(base, place / "peft", out / "merged"); };
    if (row.model == "bert" && (row.kind == "words" || row.kind == "whole_words")) {
      EXPECT_NE(error_message(merge).find("changes one of them alone"), std::string::npos);
    } else {
      merge();
      Model merged = loaded<Model>(out / "merged");
      right(merged, "merged into files");
    }
  }

  Model model = loaded<Model>(base);
  const torch::Tensor plain = logits_of(model, ids);
  EXPECT_GT(error(plain, logits), 1e-3);
  if (row.kind == "whole_words" && row.tied()) {
    EXPECT_NE(error_message([&] {
                load_adapter(place / "peft", *model);
              }).find("holds the weight that the output layer shares"),
              std::string::npos);
    EXPECT_EQ(error(logits_of(model, ids), plain), 0.0) << "a failed call changes nothing";
    return;
  }
  load_adapter(place / "peft", *model);
  right(model, "loaded");
  merge(*model);
  right(model, "merged");
  if (row.kind == "words" && row.tied()) {
    EXPECT_NE(error_message([&] {
                save_pretrained(out / "model", model);
              }).find("whose weight the output layer shares without it"),
              std::string::npos);
  } else {
    save_pretrained(out / "model", model);
    Model again = loaded<Model>(out / "model");
    right(again, "merged and saved");
  }
  unmerge(*model);
  right(model, "unmerged");
  choose(*model, std::vector<ActiveAdapter>{});
  EXPECT_LT(error(logits_of(model, ids), plain), 1e-12) << "the base again";
  choose(*model, "default");
  save_adapter(place / "graft", *model);
  Model again = loaded<Model>(base);
  load_adapter(place / "graft", *again);
  right(again, "saved and loaded");
}

TEST(AdapterMatrix, AnswersAsPeftWhicheverWayItWent) {
  for (const std::string model : {"llama", "llama_untied", "gpt2", "bert"}) {
    for (const std::string kind : {"lora", "dora", "ia3", "words", "rows", "whole_words"}) {
      if (model == "bert") {
        check<BertForMaskedLM>({model, kind});
      } else {
        check<CausalLM>({model, kind});
      }
    }
  }
  run_python("peft_matrix.py", {"check", reference().string()});
  int checked = 0;
  for (const std::string model : {"llama", "llama_untied", "gpt2", "bert"}) {
    for (const auto& entry : fs::directory_iterator(reference() / model)) {
      if (!fs::exists(entry.path() / "checked.safetensors")) continue;
      ++checked;
      EXPECT_LT(error(read_all(entry.path() / "checked.safetensors").at("logits"),
                      read_all(entry.path() / "expected.safetensors").at("logits")),
                1e-6)
          << "PEFT reads " << entry.path();
    }
  }
  EXPECT_EQ(checked, 21);  // all but the three that are refused
}

// PEFT keeps a head for each adapter; so is it here.
TEST(AdapterMatrix, EachAdapterHasItsOwnHead) {
  const TemporaryDirectory out;
  BertConfig config;
  config.vocab_size = 40, config.hidden_size = 16, config.num_hidden_layers = 1, config.num_attention_heads = 2;
  config.intermediate_size = 24, config.max_position_embeddings = 32, config.labels = {"no", "yes"};
  torch::manual_seed(1);
  BertForSequenceClassification model(config);
  model->to(torch::kFloat64);
  model->eval();
  const torch::Tensor ids = torch::randint(3, 40, {2, 6});
  const auto answer = [&] {
    const torch::NoGradGuard no_grad;
    std::vector<std::vector<std::int32_t>> rows;
    for (std::int64_t i = 0; i < 2; ++i) {
      rows.emplace_back();
      for (std::int64_t j = 0; j < 6; ++j) rows.back().push_back(ids[i][j].item<std::int32_t>());
    }
    return model(pack(rows));
  };
  const torch::Tensor base = answer();
  std::map<std::string, torch::Tensor> answers;
  for (const std::string name : {"one", "two"}) {
    attach(*model, LoraOptions{.rank = 2}, {.layers = {"query"}}, name);
    EXPECT_LT(error(answer(), base), 1e-12) << "each starts from the base's head";
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : model->parameters())
      if (parameter.requires_grad()) parameter.add_(torch::randn_like(parameter));
    answers[name] = answer();
  }
  EXPECT_GT(error(answers.at("one"), answers.at("two")), 1e-3);
  save_adapter(out / "one", *model, "one");  // while "two" is in the model
  for (const std::string name : {"one", "two", "one"}) {
    choose(*model, name);
    EXPECT_EQ(error(answer(), answers.at(name)), 0.0) << name;
  }
  choose(*model, std::vector<ActiveAdapter>{});
  EXPECT_EQ(error(answer(), base), 0.0);
  EXPECT_EQ(error_message([&] {
              choose(*model, {{"one", 1.0}, {"two", 1.0}});
            }),
            "OptionError: adapters \"one\" and \"two\" both have heads of their own; choose one of them");
  choose(*model, "two");
  load_adapter(out / "one", *model, "three");
  EXPECT_EQ(error(answer(), answers.at("one")), 0.0) << "what was saved as one is one's";
  detach(*model, "three");
  choose(*model, "two");
  EXPECT_EQ(error(answer(), answers.at("two")), 0.0);
}

}  // namespace
}  // namespace graft
