#pragma once

#include <algorithm>

#include <nlohmann/json.hpp>

#include "graft/models/detail/config_fields.hpp"
#include "graft/models/detail/label_fields.hpp"

namespace graft::detail {

GRAFT_INLINE std::vector<std::string> read_labels(const JsonFields& fields) {
  const std::int64_t count = fields.integer("num_labels", 1, max_config_size, 0);
  std::vector<std::string> labels;
  if (fields.has("id2label")) {
    const JsonFields names = fields.object("id2label");
    if (names.json().empty()) fields.fail("id2label", "an object with at least one label");
    for (std::size_t id = 0; id < names.json().size(); ++id) {
      if (!names.has(std::to_string(id)))
        throw FormatError(message(names.where(), ": no label ", id, " among ", names.json().size(),
                                  "; the ids must be 0, 1, 2, ..."));
      labels.push_back(names.text(std::to_string(id)));
    }
  } else if (fields.has("label2id")) {
    const JsonFields ids = fields.object("label2id");
    const auto size = static_cast<std::int64_t>(ids.json().size());
    if (size == 0) fields.fail("label2id", "an object with at least one label");
    labels.resize(ids.json().size());
    std::vector<bool> taken(labels.size());
    for (const auto& [label, value] : ids.json().items()) {
      const auto id = static_cast<std::size_t>(ids.integer(label, 0, size - 1));
      if (taken[id])
        throw FormatError(message(ids.where(), ": id ", id, " has two labels, one of them ", quoted(label)));
      taken[id] = true;
      labels[id] = label;
    }
  } else {
    for (std::int64_t id = 0; id < (count ? count : 2); ++id) labels.push_back("LABEL_" + std::to_string(id));
  }
  if (count != 0 && count != static_cast<std::int64_t>(labels.size()))
    throw FormatError(message(fields.where(), ": \"num_labels\" is ", count, ", but ", labels.size(),
                              " labels are named; take one of the two out"));
  if (fields.has("id2label") && fields.has("label2id")) {
    const JsonFields ids = fields.object("label2id");
    for (const auto& [label, value] : ids.json().items()) {
      const std::int64_t id = ids.integer(label, 0, static_cast<std::int64_t>(labels.size()) - 1);
      if (labels[static_cast<std::size_t>(id)] != label)
        throw FormatError(message(ids.where(), ": ", quoted(label), " is ", id, ", but \"id2label\" calls that ",
                                  quoted(labels[static_cast<std::size_t>(id)])));
    }
  }
  for (auto label = labels.begin(); label != labels.end(); ++label) {
    if (std::find(labels.begin(), label, *label) != label)
      throw FormatError(message(fields.where(), ": label ", quoted(*label), " has two ids"));
  }
  return labels;
}

GRAFT_INLINE void write_labels(const std::vector<std::string>& labels, Json& json) {
  json["id2label"] = Json::object();
  json["label2id"] = Json::object();
  for (std::size_t id = 0; id < labels.size(); ++id) {
    json["id2label"][std::to_string(id)] = labels[id];
    json["label2id"][labels[id]] = id;
  }
}

GRAFT_INLINE std::string labels_fault(std::vector<std::string> labels) {
  if (labels.empty() || labels.size() > static_cast<std::size_t>(max_config_size))
    return message(labels.size(), " labels; choose 1 to ", max_config_size);
  std::ranges::sort(labels);
  if (const auto twice = std::ranges::adjacent_find(labels); twice != labels.end())
    return message("label ", quoted(*twice), " has two ids");
  return {};
}

}  // namespace graft::detail
