#include "graft/core/json.hpp"

#include <nlohmann/json.hpp>

#include "fuzz/fuzz.hpp"

namespace graft::fuzzing::json {

/// A JSON text: what it says survives being written and read again.
void fuzz(std::string_view input) {
  const Json json = parse_json(input, "input");
  must("what was read cannot be written", [&] {
    check(parse_json(json.dump(), "dump") == json, "a value is another one after dump() and parse_json()");
    const std::string text = json_text(json);
    const Json again = parse_json(text, "json_text");
    check(again == json, "a value is another one after json_text()");
    check(json_text(again) == text, "json_text() is not stable");
  });
  described(json);
  if (!json.is_object()) return;
  const JsonFields fields(json, "input");
  for (const auto& member : json.items()) {
    const std::string& name = member.key();
    outcome([&] { return std::to_string(fields.integer(name, -5, 5)); });
    outcome([&] { return std::to_string(fields.number(name, -5, 5)); });
    outcome([&] { return joined(fields.texts_or_none(name), ","); });
    outcome([&] { return fields.object(name).where() + fields.text(name); });
  }
}

}  // namespace graft::fuzzing::json
