#include "graft/training/ranked_texts.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "graft/core/output.hpp"
#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

static_assert(DataSource<RankedTexts>);

Tokenizer small_tokenizer() {
  const TemporaryDirectory directory;
  write_file(directory / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\n");
  return Tokenizer::load(directory.path());
}

const std::vector<GradedList> lists = {{"a", {"b", "c c"}, {1, 0}}, {"d d", {"a b c d a b c d"}, {0.5}}};

TEST(RankedTexts, LaysTheListsOfABatchEndToEnd) {
  const RankedTexts data(lists, small_tokenizer(), 10);
  EXPECT_EQ(data.size(), 2);
  EXPECT_EQ(data.pairs(), 3);
  EXPECT_EQ(data.cut(), 1);
  EXPECT_EQ(data.length(0), 5 + 6);
  EXPECT_EQ(data.length(1), 10);
  const RankedTexts::Batch batch = data.batch(std::vector<std::int64_t>{1, 0});
  const auto ints = [](const torch::Tensor& t) {
    return std::vector<std::int64_t>(t.const_data_ptr<std::int64_t>(), t.const_data_ptr<std::int64_t>() + t.numel());
  };
  using Ints = std::vector<std::int64_t>;
  // [CLS] 2, [SEP] 3, a to d 5 to 8; the longer text is cut.
  EXPECT_EQ(ints(batch.tokens.ids), (Ints{2, 8, 8, 3, 5, 6, 7, 8, 5, 3, 2, 5, 3, 6, 3, 2, 5, 3, 7, 7, 3}));
  EXPECT_EQ(ints(batch.tokens.type_ids), (Ints{0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(ints(batch.offsets), (Ints{0, 1, 3}));
  EXPECT_TRUE(torch::equal(batch.grades, torch::tensor({0.5f, 1.0f, 0.0f})));
}

TEST(RankedTexts, TheFingerprintChangesWithTextsGradesAndOrder) {
  const Tokenizer tokenizer = small_tokenizer();
  const std::string before = RankedTexts(lists, tokenizer).fingerprint();
  EXPECT_EQ(RankedTexts(lists, tokenizer).fingerprint(), before);
  auto other = lists;
  other[0].grades[1] = 0.25;
  EXPECT_NE(RankedTexts(other, tokenizer).fingerprint(), before);
  other = {lists[1], lists[0]};
  EXPECT_NE(RankedTexts(other, tokenizer).fingerprint(), before);
}

TEST(RankedTexts, NamesAListThatCannotBeTrainedOn) {
  const Tokenizer tokenizer = small_tokenizer();
  const auto says = [&](GradedList list) {
    return error_message([&] { RankedTexts({lists[0], std::move(list)}, tokenizer); });
  };
  EXPECT_EQ(says({"b", {}, {}}), "OptionError: list 1, of the question \"b\", has no passage; leave it out");
  EXPECT_EQ(says({"b", {"a", "c"}, {1}}),
            "OptionError: list 1, of the question \"b\", has 1 grades for 2 passages; give one for each");
  EXPECT_EQ(says({"b", {"a"}, {std::nan("")}}), "OptionError: list 1, of the question \"b\", has the grade nan");
  EXPECT_EQ(error_message([&] { RankedTexts(lists, tokenizer, 2); }),
            "OptionError: max_length is 2, but 3 special tokens are added; choose at least 3");
}

}  // namespace
}  // namespace graft
