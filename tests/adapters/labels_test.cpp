#include "graft/adapters/peft/labels.hpp"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "graft/core/output.hpp"
#include "graft/tensor/state.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

/// An adapter's directory with a head of `rows` classes.
class AdapterLabels : public testing::Test {
 protected:
  void write(const char* head, std::int64_t rows, std::map<std::string, std::string> metadata) {
    write_file(directory_ / "adapter_config.json",
               R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["query"], "task_type": "SEQ_CLS",
                   "modules_to_save": ["classifier"]})");
    metadata["format"] = "pt";
    save_tensors(directory_ / "adapter_model.safetensors",
                 {{std::string("base_model.model.") + head, torch::zeros({rows, 3})}}, metadata);
  }
  std::vector<std::string> read() const { return adapter_labels(directory_.path()); }

  TemporaryDirectory directory_;
};

TEST_F(AdapterLabels, ComeBackAsTheyWereSaved) {
  const std::vector<std::string> labels = {"gut", "schl\u00e4cht", "\"so so\""};
  write("classifier.weight", 3, labels_metadata(labels));
  EXPECT_EQ(read(), labels);
}

TEST_F(AdapterLabels, AreNumberedWhereNoneWereSaved) {
  write("classifier.out_proj.weight", 2, {});
  EXPECT_EQ(read(), (std::vector<std::string>{"LABEL_0", "LABEL_1"}));
}

TEST_F(AdapterLabels, MustFitTheHead) {
  write("classifier.weight", 3, labels_metadata({"a", "b"}));
  EXPECT_EQ(error_message([&] { read(); }),
            "FormatError: " + directory_.path().string() + ": names 2 labels, its head has 3 rows");
  write("pooler.weight", 3, {});
  EXPECT_EQ(error_message([&] { read(); }), "FormatError: " + directory_.path().string() +
                                                ": has no classifier head; was it trained to classify texts?");
}

}  // namespace
}  // namespace graft
