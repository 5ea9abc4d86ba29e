#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "graft/generation/chat_examples.hpp"
#include "graft/generation/conversations.hpp"
#include "graft/generation/learned_tokens.hpp"
#include "graft/generation/preference_examples.hpp"
#include "graft/generation/text_examples.hpp"
#include "language.hpp"

struct RowsOptions {
  std::string learn = "answers";
  std::size_t max_length = 1024, overlap = 64;
};

/// The rows of a file, encoded. Of the three data sets one is there.
struct Rows {
  graft::ConversationFile file;
  std::optional<graft::ChatExamples> chat;
  std::optional<graft::TextExamples> texts;
  std::optional<graft::PreferenceExamples> preferences;

  /// Of conversations or texts.
  const graft::LearnedTokens& learned() const {
    if (chat) return *chat;
    return *texts;
  }
  const std::string& fingerprint() const { return preferences ? preferences->fingerprint() : learned().fingerprint(); }
};

/// Encodes what read_conversations() gave. Throws as the data sets do.
Rows encode_rows(graft::ConversationFile file, const Language& language, const RowsOptions& options);

/// The last question of each row, and what the row has for an answer.
struct Asked {
  std::vector<graft::ChatMessage> prompt;
  std::string expected;
};
std::vector<Asked> asked(const graft::ConversationFile& file);
