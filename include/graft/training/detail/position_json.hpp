#pragma once

#include <cstdio>
#include <cstdlib>
#include <limits>

#include "graft/core/json.hpp"
#include "graft/training/position.hpp"

namespace graft::detail {

inline Json evaluation_json(const std::optional<EvaluationRecord>& record) {
  if (!record) return nullptr;
  Json scores = Json::array();
  for (const auto& [name, value] : record->scores) {
    // As text, which keeps every bit and what is not finite.
    char text[64];
    std::snprintf(text, sizeof(text), "%a", value);
    scores.push_back({name, text});
  }
  return {{"step", record->step}, {"epoch", record->epoch}, {"scores", scores}, {"best", record->best}};
}

inline std::optional<EvaluationRecord> evaluation_from(const Json& json) {
  if (json.is_null()) return std::nullopt;
  EvaluationRecord record{.step = json.at("step"), .epoch = json.at("epoch"), .scores = {}, .best = json.at("best")};
  for (const auto& score : json.at("scores"))
    record.scores[score.at(0)] = std::strtod(score.at(1).get<std::string>().c_str(), nullptr);
  return record;
}

inline Json position_json(const RunPosition& position) {
  return {{"step", position.step},
          {"epoch", position.epoch},
          {"batch", position.batch},
          {"steps", position.steps},
          {"data", position.data},
          {"not_better", position.not_better},
          {"best", evaluation_json(position.best)},
          {"last", evaluation_json(position.last)}};
}

inline RunPosition position_from(const JsonFields& fields) {
  const auto number = [&](const char* name) {
    return fields.integer(name, 0, std::numeric_limits<std::int64_t>::max());
  };
  return {.step = number("step"),
          .epoch = number("epoch"),
          .batch = number("batch"),
          .steps = number("steps"),
          .data = fields.text("data"),
          .not_better = number("not_better"),
          .best = evaluation_from(fields.json().at("best")),
          .last = evaluation_from(fields.json().at("last"))};
}

}  // namespace graft::detail
