#include "graft/rag/answer_score.hpp"

#include <gtest/gtest.h>

namespace graft {
namespace {

using Words = std::vector<std::string>;
using Terms = std::set<std::string>;

TEST(AnswerScore, WordsAreThoseOfSquad) {
  EXPECT_EQ(answer_words("The  Quick-brown, (fox)\tjumps\nover an A."), (Words{"quickbrown", "fox", "jumps", "over"}));
  EXPECT_EQ(answer_words("caf\xc3\xa9 \xe2\x82\xac 3.5"), (Words{"caf\xc3\xa9", "\xe2\x82\xac", "35"}));
  EXPECT_TRUE(answer_words(" the. ?! ").empty());
}

// By hand: 2 shared words of 4 and 3: precision 1/2, recall 2/3, F1 4/7.
TEST(AnswerScore, F1IsTheHarmonicMeanOfSharedWords) {
  EXPECT_DOUBLE_EQ(token_f1("a tool for reading mail", "tool reads mail"), 4.0 / 7);
  EXPECT_DOUBLE_EQ(token_f1("Reading MAIL!", "the reading mail"), 1.0);
  EXPECT_DOUBLE_EQ(token_f1("mail mail mail", "mail mail box"), 4.0 / 6) << "a word counts as often as both have it";
  EXPECT_DOUBLE_EQ(token_f1("nothing of it", "tool reads mail"), 0.0);
  EXPECT_DOUBLE_EQ(token_f1("", "tool"), 0.0);
  EXPECT_DOUBLE_EQ(token_f1("tool", ""), 0.0);
  EXPECT_DOUBLE_EQ(token_f1("", "the"), 1.0);
}

TEST(AnswerScore, KeyTermsCarryKnowledge) {
  EXPECT_EQ(key_terms("Development files for the libfoo of FastJet", "What is the package libfoo for?"),
            (Terms{"development", "files", "fastjet"}));
  EXPECT_TRUE(key_terms("it is what it is").empty());
}

TEST(AnswerScore, RecallLooksForTermsWordForWord) {
  const Terms terms{"development", "files", "fastjet"};
  EXPECT_DOUBLE_EQ(term_recall("FastJet: development file", terms), 2.0 / 3);
  EXPECT_DOUBLE_EQ(term_recall("", terms), 0.0);
  EXPECT_DOUBLE_EQ(term_recall("anything", {}), 1.0);
}

}  // namespace
}  // namespace graft
