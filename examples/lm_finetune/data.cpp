#include "data.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "graft/core/error.hpp"

Rows encode_rows(graft::ConversationFile file, const Language& language, const RowsOptions& options) {
  Rows rows;
  rows.file = std::move(file);
  switch (rows.file.form) {
    case graft::ConversationForm::text:
      rows.texts.emplace(rows.file.texts, language.tokenizer,
                         graft::TextExamplesOptions{.max_tokens = options.max_length,
                                                    .overlap = std::min(options.overlap, options.max_length - 1),
                                                    .end = language.text_end()});
      break;
    case graft::ConversationForm::preference:
      rows.preferences.emplace(rows.file.preferences, language.format, language.tokenizer,
                               graft::PreferenceExamplesOptions{options.max_length, language.answer_end()});
      break;
    default: {
      static const std::map<std::string, graft::Learn> kinds{
          {"answers", graft::Learn::answers}, {"last", graft::Learn::last}, {"all", graft::Learn::all}};
      rows.chat.emplace(
          rows.file.conversations, language.format, language.tokenizer,
          graft::ChatExamplesOptions{
              .learn = kinds.at(options.learn), .max_tokens = options.max_length, .end = language.answer_end()});
    }
  }
  return rows;
}

std::vector<Asked> asked(const graft::ConversationFile& file) {
  std::vector<Asked> out;
  for (const graft::Conversation& conversation : file.conversations) {
    std::vector<graft::ChatMessage> prompt = conversation.messages;
    while (!prompt.empty() && prompt.back().role != graft::ChatRole::assistant) prompt.pop_back();
    if (prompt.empty()) continue;
    std::string expected = prompt.back().text();
    prompt.pop_back();
    if (!prompt.empty()) out.push_back({std::move(prompt), std::move(expected)});
  }
  for (const graft::Preference& preference : file.preferences)
    out.push_back({preference.prompt, preference.chosen.back().text()});
  return out;
}
