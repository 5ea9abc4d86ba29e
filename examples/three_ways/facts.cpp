#include "facts.hpp"

#include "graft/core/error.hpp"
#include "graft/io/dataset.hpp"

namespace {

bool is_later(const graft::DatasetRow& row, const std::string& value, const std::filesystem::path& path) {
  if (value == "before" || value == "after") return value == "after";
  throw graft::FormatError(graft::message(path.string(), ", line ", row.line, ": \"when\" is ", graft::quoted(value),
                                          "; write before or after, as the fact came before or after training"));
}

}  // namespace

Facts read_facts(const std::filesystem::path& train, const std::filesystem::path& documents,
                 const std::filesystem::path& questions) {
  Facts facts;
  for (const graft::DatasetRow& row : graft::read_dataset(train, {"question", "answer"}).rows)
    facts.train.push_back({row.values[0], row.values[1]});
  for (const graft::DatasetRow& row : graft::read_dataset(documents, {"id", "text", "when"}).rows)
    facts.documents.push_back({row.values[0], row.values[1], is_later(row, row.values[2], documents)});
  for (const graft::DatasetRow& row : graft::read_dataset(questions, {"question", "answer", "when"}).rows)
    facts.questions.push_back({row.values[0], row.values[1], is_later(row, row.values[2], questions)});
  return facts;
}
