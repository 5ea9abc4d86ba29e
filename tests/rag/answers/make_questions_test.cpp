#include "graft/rag/make_questions.hpp"

#include <gtest/gtest.h>

#include <string>

#include "graft/retrieval/ingest.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "rag/answers/support.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

class MakeQuestions : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& [uri, text] : {std::pair{"wget", "This program fetches files from servers over HTTP and FTP."},
                                    {"gimp", "This program draws and edits pictures by hand, in many layers."},
                                    {"sox", "This program turns one kind of audio file into another one."},
                                    {"tiny", "Too short."}})
      documents_.push_back({.uri = uri, .text = text});
    const Chunker chunker([](std::string_view text) { return text.size(); }, "bytes", {.size = 200});
    ingest(store_, chunker, nullptr, documents_);
  }

  MadeQuestions make(const std::function<std::string(const std::string& prompt)>& reply,
                     const MakeQuestionsOptions& options = {}) {
    test::ScriptedGenerator generator([&](auto messages) { return reply(messages[0].text()); });
    Retriever retriever(store_);
    const auto snapshot = store_.read();
    const MadeQuestions made = make_questions(
        *snapshot, generator,
        [&](const std::string& question, std::size_t top) { return retriever.search({.text = question, .top = top}); },
        options);
    asked_ = generator.asked;
    return made;
  }

  TemporaryDirectory directory_;
  SqliteStore store_{directory_ / "store.db"};
  std::vector<Document> documents_;
  std::vector<std::vector<ChatMessage>> asked_;
};

TEST_F(MakeQuestions, AreKeptIfASearchFindsTheirPassage) {
  const auto reply = [](const std::string& prompt) -> std::string {
    if (prompt.find("HTTP") != prompt.npos) return "Question: How do I fetch files from servers?\n\nI hope this helps.";
    if (prompt.find("pictures") != prompt.npos) return "1. \"What turns audio into pictures?\"";
    return "Where is the weather kept?";
  };
  const MadeQuestions made = make(reply, {.found_within = 1});
  EXPECT_EQ(made.report.passages, 3u);
  EXPECT_EQ(made.report.too_short, 1u);
  ASSERT_EQ(made.pairs.size(), 1u);
  EXPECT_EQ(made.pairs[0].question, "How do I fetch files from servers?");
  EXPECT_EQ(made.pairs[0].positives, std::vector<std::string>{documents_[0].text});
  EXPECT_EQ(made.report.not_found, 2u) << "the sox package is nearer to one, and nothing to the other";
  ASSERT_EQ(made.report.left_out.size(), 2u);
  EXPECT_EQ(made.report.left_out[0].question, "What turns audio into pictures?");
  EXPECT_EQ(made.report.left_out[0].why, "its passage is not found by it");
  ASSERT_EQ(asked_.size(), 3u);
  ASSERT_EQ(asked_[0][0].pieces.size(), 2u);
  EXPECT_TRUE(asked_[0][0].pieces[1].quoted) << "whatever stands in a passage is no instruction";
  EXPECT_EQ(make(reply, {.found_within = 2}).pairs.size(), 2u);
}

TEST_F(MakeQuestions, LeaveOutWhatIsNoQuestionOfItsOwn) {
  const MadeQuestions copied = make([](const std::string&) { return "This program"; });
  EXPECT_EQ(copied.report.copied, 3u);
  const MadeQuestions repeated = make([](const std::string& prompt) {
    return prompt.find("HTTP") != prompt.npos ? "Which program is it?" : "which  PROGRAM is it?";
  });
  EXPECT_EQ(repeated.pairs.size(), 1u);
  EXPECT_EQ(repeated.report.repeated, 2u);
  const MadeQuestions empty = make([](const std::string&) { return " \n"; });
  EXPECT_EQ(empty.report.empty, 3u);
  EXPECT_EQ(make([](const std::string&) { return std::string(400, 'x'); }).report.empty, 3u);
}

TEST_F(MakeQuestions, TakesPassagesEvenlyAndStopsWhenAsked) {
  const auto reply = [](const std::string&) { return "Which program?"; };
  make(reply, {.passages = 2});
  ASSERT_EQ(asked_.size(), 2u);
  EXPECT_NE(asked_[0][0].text().find("HTTP"), std::string::npos);
  EXPECT_NE(asked_[1][0].text().find("audio"), std::string::npos);
  std::size_t calls = 0;
  const MadeQuestions stopped = make(reply, {.stop = [&] { return ++calls > 1; }});
  EXPECT_TRUE(stopped.stopped);
  EXPECT_EQ(stopped.report.passages, 1u);
  EXPECT_EQ(error_message([&] { make(reply, {.passages = 0}); }),
            "OptionError: questions are made for at least 1 passage, of at least 1 byte, and found within the first 1");
}

TEST(QuestionOf, IsTheFirstLineWithoutWhatModelsPutAroundIt) {
  const std::pair<const char*, const char*> rows[] = {{"What is it?", "What is it?"},
                                                      {"  \n What is it? \nAnswer: that.", "What is it?"},
                                                      {"Q: What is it?", "What is it?"},
                                                      {"Question 2: What is it?", "What is it?"},
                                                      {"**What is it?**", "What is it?"},
                                                      {"3) What is it?", "What is it?"},
                                                      {"“What is it?”", "What is it?"},
                                                      {"Quite: what is it?", "Quite: what is it?"},
                                                      {"Is 3.5 more than 3?", "Is 3.5 more than 3?"},
                                                      {"", ""},
                                                      {"\xff\xfe?", ""}};
  for (const auto& [written, question] : rows) EXPECT_EQ(detail::question_of(written, 300), question) << written;
}

}  // namespace
}  // namespace graft
