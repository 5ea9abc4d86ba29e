#pragma once

#include <algorithm>
#include <cstdint>

#include <nlohmann/json.hpp>

#include "graft/adapters/peft/labels.hpp"
#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/io/adapter_dir.hpp"

namespace graft {

GRAFT_INLINE std::map<std::string, std::string> labels_metadata(const std::vector<std::string>& labels) {
  return {{"labels", Json(labels).dump()}};
}

GRAFT_INLINE std::vector<std::string> adapter_labels(const std::filesystem::path& adapter) {
  const AdapterDir files(adapter);
  const std::string where = adapter.string();
  const TensorInfo* head = files.find("classifier.weight");
  if (!head) head = files.find("classifier.out_proj.weight");
  if (!head || head->shape.empty())
    throw FormatError(message(where, ": has no classifier head; was it trained to classify texts?"));
  std::vector<std::string> labels;
  if (const auto found = files.metadata().find("labels"); found != files.metadata().end()) {
    const Json names = {{"labels", parse_json(found->second, where)}};
    labels = JsonFields(names, where).texts("labels");
  } else {
    const std::int64_t rows = std::min<std::int64_t>(head->shape[0], 1 << 16);
    for (std::int64_t i = 0; i < rows; ++i) labels.push_back("LABEL_" + std::to_string(i));
  }
  if (static_cast<std::int64_t>(labels.size()) != head->shape[0])
    throw FormatError(message(where, ": names ", labels.size(), " labels, its head has ", head->shape[0], " rows"));
  return labels;
}

}  // namespace graft
