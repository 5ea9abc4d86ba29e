#include "graft/training/labelled_texts.hpp"

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/core/output.hpp"
#include "graft/text/tokenizer.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

class LabelledTextsTest : public testing::Test {
 protected:
  LabelledTextsTest() {
    std::string words;
    for (const char* word : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"})
      words += std::string(word) + "\n";
    write_file(directory_ / "vocab.txt", words);
    tokenizer_.emplace(Tokenizer::load(directory_.path()));
  }

  TemporaryDirectory directory_;
  std::optional<Tokenizer> tokenizer_;
};

TEST_F(LabelledTextsTest, AreReadEncodedAndPacked) {
  write_file(directory_ / "a.tsv", "text\tlabel\ngood film\tyes\nbad\tno\nfilm film film\tyes\n");
  const auto rows = read_labelled(directory_ / "a.tsv");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].where, (directory_ / "a.tsv").string() + ", line 3");
  const LabelledTexts texts(rows, {"yes", "no"}, *tokenizer_, 4);
  EXPECT_EQ(texts.size(), 3);
  EXPECT_EQ(texts.classes(), (std::vector<std::int64_t>{0, 1, 0}));
  EXPECT_EQ(texts.ids(0), (std::vector<std::int32_t>{2, 5, 7, 3}));
  EXPECT_EQ(texts.length(2), 4) << "cut";
  const std::vector<std::int64_t> chosen = {1, 0};
  const LabelledTexts::Batch batch = texts.batch(chosen);
  EXPECT_TRUE(batch.tokens.ids.equal(torch::tensor({2, 6, 3, 2, 5, 7, 3}, torch::kInt64)));
  EXPECT_TRUE(batch.labels.equal(torch::tensor({1, 0}, torch::kInt64)));
}

TEST_F(LabelledTextsTest, AreNamedByAFingerprint) {
  const std::vector<LabelledText> rows = {{"good", "yes"}, {"bad", "no"}}, other = {{"good", "no"}, {"bad", "yes"}};
  const auto name = [&](const auto& of) { return LabelledTexts(of, {"yes", "no"}, *tokenizer_).fingerprint(); };
  EXPECT_EQ(name(rows), name(rows));
  EXPECT_NE(name(rows), name(other));
}

TEST_F(LabelledTextsTest, RefuseALabelThatIsNoClass) {
  EXPECT_EQ(error_message([&] {
              LabelledTexts({{"good", "maybe", "a.tsv, line 7"}}, {"yes", "no"}, *tokenizer_);
            }),
            "FormatError: a.tsv, line 7: label \"maybe\" does not occur in the training data; correct it, or train on "
            "rows of it");
}

TEST(DistinctLabels, AreOrderedByValueIfAllAreNumbers) {
  EXPECT_EQ(distinct_labels({{"", "10"}, {"", "9"}, {"", "-1"}, {"", "9"}}),
            (std::vector<std::string>{"-1", "9", "10"}));
  EXPECT_EQ(distinct_labels({{"", "10"}, {"", "9"}, {"", "b"}}), (std::vector<std::string>{"10", "9", "b"}));
}

/// Takes a text for the class of its second token, and remembers what it was asked.
struct SecondTokenImpl : torch::nn::Module {
  torch::Tensor forward(const PackedBatch& batch) {
    EXPECT_FALSE(is_training());
    EXPECT_FALSE(torch::GradMode::is_enabled());
    sizes.push_back(batch.sequences());
    lengths.push_back(batch.longest());
    const auto second = batch.ids.index_select(0, batch.offsets.slice(0, 0, -1) + 1);
    return torch::stack({second.eq(5), second.eq(6), second.eq(7)}, 1).to(torch::kFloat);
  }
  std::vector<std::int64_t> sizes, lengths;
};
TORCH_MODULE(SecondToken);

TEST_F(LabelledTextsTest, AreJudgedInBatchesOfLikeLength) {
  const LabelledTexts texts(
      {{"good film film film", "g"}, {"bad", "b"}, {"film film", "f"}, {"bad film", "g"}, {"good", "g"}},
      {"g", "b", "f"}, *tokenizer_);
  SecondToken model;
  const ConfusionMatrix matrix = judge(model, texts, 2);
  EXPECT_EQ(matrix.total(), 5);
  EXPECT_EQ(matrix.accuracy(), 0.8);
  EXPECT_EQ(matrix.count(0, 1), 1) << "the row that says bad and is called g";
  EXPECT_EQ(model->sizes, (std::vector<std::int64_t>{2, 2, 1}));
  EXPECT_EQ(model->lengths, (std::vector<std::int64_t>{3, 4, 6}));
  EXPECT_TRUE(model->is_training()) << "as it was";
  EXPECT_EQ(error_message([&] { judge(model, texts, 0); }), "OptionError: the batch size is 0; it must be at least 1");
}

}  // namespace
}  // namespace graft
