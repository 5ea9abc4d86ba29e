#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/text/detail/decoder_steps.hpp"
#include "graft/text/detail/read_pattern.hpp"
#include "graft/text/detail/read_pre_tokenizer.hpp"
#include "graft/text/detail/unsupported.hpp"

namespace graft::detail {

inline void read_decoder_steps(const JsonFields& fields, Growth& growth,
                               std::vector<std::unique_ptr<const DecoderStep>>& steps) {
  const std::string type = fields.text("type");
  const auto add = [&steps](auto step) { steps.push_back(std::move(step)); };
  if (type == "ByteLevel") {
    add(std::make_unique<ByteLevelStep>());
  } else if (type == "WordPiece") {
    add(std::make_unique<WordPieceStep>(fields.text("prefix"), fields.boolean("cleanup")));
  } else if (type == "BPEDecoder") {
    std::string suffix = fields.text("suffix");
    if (suffix.empty()) fields.fail("suffix", "a text that is not empty");
    add(std::make_unique<WordEndStep>(std::move(suffix)));
  } else if (type == "CTC") {
    std::string padding = fields.text("pad_token"), delimiter = fields.text("word_delimiter_token");
    if (padding.empty()) fields.fail("pad_token", "a text that is not empty");
    if (delimiter.empty()) fields.fail("word_delimiter_token", "a text that is not empty");
    add(std::make_unique<CtcStep>(std::move(padding), std::move(delimiter), fields.boolean("cleanup")));
  } else if (type == "Replace") {
    read_replace(fields, growth, [&](auto find, std::string content) {
      add(std::make_unique<ReplaceStep<decltype(find)>>(std::move(find), std::move(content)));
    });
  } else if (type == "ByteFallback") {
    add(std::make_unique<ByteFallbackStep>());
  } else if (type == "Fuse") {
    add(std::make_unique<FuseStep>());
  } else if (type == "Strip") {
    std::string character = read_character(fields, "content");
    const auto start = static_cast<std::size_t>(fields.integer("start", 0, INT32_MAX));
    const auto stop = static_cast<std::size_t>(fields.integer("stop", 0, INT32_MAX));
    add(std::make_unique<StripStep>(std::move(character), start, stop));
  } else if (type == "Metaspace") {
    const std::string scheme = fields.text("prepend_scheme", fields.boolean("add_prefix_space", true) ? "" : "never");
    add(std::make_unique<MetaspaceStep>(read_character(fields, "replacement"), scheme != "never"));
  } else if (type == "Sequence") {
    for_each_object(fields, "decoders", [&](const JsonFields& step) { read_decoder_steps(step, growth, steps); });
  } else {
    unsupported(fields, type,
                "supported are BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, Replace, Sequence, Strip, "
                "WordPiece and null");
  }
}

inline std::unique_ptr<const Decoder> read_decoder(const JsonFields& file) {
  if (!file.has("decoder")) return std::make_unique<SpaceDecoder>();
  std::vector<std::unique_ptr<const DecoderStep>> steps;
  Growth growth;
  read_decoder_steps(file.object("decoder"), growth, steps);
  return std::make_unique<StepDecoder>(std::move(steps));
}

}  // namespace graft::detail
