#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/text/detail/pipeline.hpp"
#include "graft/text/detail/unsupported.hpp"

namespace graft::detail {

/// The ids that the template's special token `name` stands for, each checked against the vocabulary.
inline std::vector<std::int32_t> special_token_ids(const JsonFields& processor, const std::string& name,
                                                   const Vocabulary& vocabulary) {
  const JsonFields table = processor.object("special_tokens");
  if (!table.has(name)) {
    throw FormatError(
        message(processor.where(), ": the template uses ", quoted(name), ", which \"special_tokens\" does not define"));
  }
  const JsonFields fields = table.object(name);
  const Json& ids = fields.value("ids");
  const std::vector<std::string> tokens = fields.texts("tokens");
  if (!ids.is_array() || ids.size() != tokens.size()) {
    fields.fail("ids", message("an array of ", tokens.size(), " ids, one for each of \"tokens\""));
  }
  std::vector<std::int32_t> out;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto id = vocabulary.id(tokens[i]);
    if (!id || ids[i] != *id) {
      throw FormatError(
          message(fields.where(), ": token ", quoted(tokens[i]), " has id ", described(ids[i]),
                  id ? message(" here and ", *id, " in the vocabulary") : " and is not in the vocabulary"));
    }
    out.push_back(*id);
  }
  return out;
}

inline std::vector<Template::Step> read_template(const JsonFields& processor, std::string_view name,
                                                 const Vocabulary& vocabulary) {
  const Json& list = processor.value(name);
  if (!list.is_array()) processor.fail(name, "an array");
  std::vector<Template::Step> steps;
  int first = 0, second = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const JsonFields step(list[i], message(processor.where(), ": \"", name, "\"[", i, "]"));
    const bool special = step.has("SpecialToken");
    const JsonFields fields = step.object(special ? "SpecialToken" : "Sequence");
    const auto type_id = static_cast<std::int32_t>(fields.integer("type_id", 0, INT32_MAX));
    const std::string id = fields.text("id");
    if (special) {
      for (const std::int32_t token : special_token_ids(processor, id, vocabulary)) {
        steps.push_back({Template::Kind::special, type_id, token});
      }
    } else {
      if (id != "A" && id != "B") fields.fail("id", "\"A\" or \"B\"");
      ++(id == "A" ? first : second);
      steps.push_back({id == "A" ? Template::Kind::first : Template::Kind::second, type_id, 0});
    }
  }
  const int wanted_second = name == "pair";
  if (first != 1 || second != wanted_second) {
    processor.fail(name, wanted_second ? "a template with \"A\" and \"B\" once each" : "a template with \"A\" once");
  }
  return steps;
}

/// [CLS] A [SEP] and [CLS] A [SEP] B [SEP].
inline Template bert_template(std::int32_t cls, std::int32_t sep) {
  using Kind = Template::Kind;
  Template out;
  out.single = {{Kind::special, 0, cls}, {Kind::first, 0, 0}, {Kind::special, 0, sep}};
  out.pair = out.single;
  out.pair.push_back({Kind::second, 1, 0});
  out.pair.push_back({Kind::special, 1, sep});
  return out;
}

/// <s> A </s> and <s> A </s> </s> B </s>, all of one type.
inline Template roberta_template(std::int32_t cls, std::int32_t sep) {
  using Kind = Template::Kind;
  Template out;
  out.single = {{Kind::special, 0, cls}, {Kind::first, 0, 0}, {Kind::special, 0, sep}};
  out.pair = out.single;
  out.pair.insert(out.pair.end(), {{Kind::special, 0, sep}, {Kind::second, 0, 0}, {Kind::special, 0, sep}});
  return out;
}

inline std::int32_t read_bert_token(const JsonFields& fields, std::string_view name, const Vocabulary& vocabulary) {
  const Json& value = fields.value(name);
  if (!value.is_array() || value.size() != 2 || !value[0].is_string()) fields.fail(name, "a token and its id");
  const auto& token = value[0].get_ref<const std::string&>();
  const auto id = vocabulary.id(token);
  if (!id || value[1] != *id)
    fields.fail(name, message("a token with its id in the vocabulary; ", quoted(token),
                              id ? message(" has ", *id) : " is not there"));
  return *id;
}

inline void read_post_processor(const JsonFields& fields, Stages& stages) {
  const std::string type = fields.text("type");
  if (type == "BertProcessing") {
    stages.post_processor = bert_template(read_bert_token(fields, "cls", stages.vocabulary),
                                          read_bert_token(fields, "sep", stages.vocabulary));
  } else if (type == "RobertaProcessing") {
    stages.post_processor = roberta_template(read_bert_token(fields, "cls", stages.vocabulary),
                                             read_bert_token(fields, "sep", stages.vocabulary));
    stages.trimmer = {fields.boolean("trim_offsets"), fields.boolean("add_prefix_space")};
  } else if (type == "TemplateProcessing") {
    stages.post_processor = {read_template(fields, "single", stages.vocabulary),
                             read_template(fields, "pair", stages.vocabulary)};
  } else if (type == "ByteLevel") {
    stages.trimmer = {fields.boolean("trim_offsets"), fields.boolean("add_prefix_space")};
  } else if (type == "Sequence") {
    for_each_object(fields, "processors", [&](const JsonFields& step) { read_post_processor(step, stages); });
  } else {
    unsupported(fields, type,
                "supported are TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence "
                "and null");
  }
}

}  // namespace graft::detail
