// PEFT's adapters on MiniLM in graft, graft's in PEFT, and merged directories in transformers.

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "graft/adapters/peft/merge_dir.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/load.hpp"
#include "support/error_message.hpp"
#include "support/program.hpp"
#include "support/python.hpp"
#include "support/safetensors.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

const std::string model_directory = GRAFT_DEPS "/model";

torch::Tensor logits_of(BertForSequenceClassification& model, const std::map<std::string, torch::Tensor>& batch) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor ids = batch.at("ids"), offsets = batch.at("offsets");
  const torch::Tensor starts = torch::repeat_interleave(offsets.slice(0, 0, -1), offsets.diff());
  return model(PackedBatch{ids, torch::zeros_like(ids), torch::arange(ids.size(0)) - starts, offsets});
}

TEST(MiniLMAdapters, OpenInGraftAndBackAndMergeIntoADirectory) {
  const TemporaryDirectory directory;
  run_python("peft_minilm.py", {"make", model_directory, directory.path().string()});
  ASSERT_FALSE(HasFailure());
  for (const std::string kind : {"plain", "rslora", "dora", "all_linear", "embedding", "patterns", "bias"}) {
    const auto at = directory / kind;
    auto model = load_pretrained<BertForSequenceClassification>(model_directory, {.labels = {"a", "b", "c"}}).model;
    load_adapter(at / "peft", *model);
    model->eval();
    const auto expected = read_all(at / "expected.safetensors");
    const auto logits = logits_of(model, expected);
    const auto error = [&](const torch::Tensor& found, const char* wanted) {
      return ((found - expected.at(wanted)).abs().max() / expected.at(wanted).abs().max()).item<double>();
    };
    std::cout << kind << ", against PEFT in float32: " << error(logits, "logits")
              << "; against PEFT in float64: " << error(logits, "logits64") << ", where PEFT's float32 has "
              << error(expected.at("logits"), "logits64") << '\n';
    EXPECT_LT(error(logits, "logits"), 1e-5) << kind;  // float32 sums through six layers, in another order
    auto wide = load_pretrained<BertForSequenceClassification>(model_directory,
                                                               {.dtype = torch::kFloat64, .labels = {"a", "b", "c"}})
                    .model;
    load_adapter(at / "peft", *wide);
    wide->eval();
    EXPECT_LT(error(logits_of(wide, expected), "logits64"), 1e-12) << kind;
    save_adapter(at / "graft", *model, "default", {.task_type = "SEQ_CLS"});

    EXPECT_TRUE(merge_dir(model_directory, at / "graft", at / "again").warnings.empty())
        << "file and model are one base";
    const MergeDirReport report = merge_dir(model_directory, at / "peft", at / "merged");
    EXPECT_FALSE(report.merged.empty());
    auto merged = load_pretrained<BertForSequenceClassification>(at / "merged").model;
    EXPECT_LT(((logits_of(merged, expected) - logits).abs().max() / logits.abs().max()).item<double>(), 1e-5) << kind;
  }
  run_python("peft_minilm.py", {"check", model_directory, directory.path().string()});
}

}  // namespace
}  // namespace graft
