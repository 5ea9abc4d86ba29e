#pragma once

#include "graft/rag/detail/sentence_config.hpp"

namespace graft::detail {

GRAFT_INLINE void refuse_others(const JsonFields& fields, std::span<const std::string_view> known) {
  std::string others;
  for (const auto& [name, value] : fields.json().items())
    if (std::find(known.begin(), known.end(), name) == known.end())
      others += (others.empty() ? "" : ", ") + quoted(name);
  if (!others.empty())
    throw FormatError(message(fields.where(), ": graft does not know ", others,
                              ", which may change the vectors; if not, take it out"));
}

GRAFT_INLINE void refuse_unless_empty(const JsonFields& fields, std::string_view name) {
  if (fields.has(name) && !fields.value(name).empty()) fields.fail(name, "absent or empty; graft has no use for it");
}

GRAFT_INLINE void check_places(const JsonFields& fields) {
  for (const auto* name : {"module_input_name", "module_output_name"})
    if (fields.text(name, "sentence_embedding") != "sentence_embedding")
      fields.fail(name, "\"sentence_embedding\"; graft's modules follow each other");
}

GRAFT_INLINE SentenceConfig SentenceConfig::read(const std::filesystem::path& directory) {
  return SentenceConfigReader(directory).read();
}

}  // namespace graft::detail
