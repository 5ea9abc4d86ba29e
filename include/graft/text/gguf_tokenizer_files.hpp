#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "graft/core/mode.hpp"

namespace graft {

/// The tokenizer of a GGUF file as the files that Hugging Face's libraries and Tokenizer::load() read from a model's
/// directory, content by name, for SavePretrainedOptions::texts:
///   tokenizer.json          vocabulary, merges, added tokens, how text is cut; ids are those of the GGUF file
///   tokenizer_config.json   names of the special tokens, the chat template as it stands, the longest text
///   generation_config.json  ids of the tokens that begin and end a text
///
/// Throws as Tokenizer::load() does for the file; FormatError also for a chat template that is not UTF-8, and for a
/// SentencePiece vocabulary with neither scores nor merges, whose rule tokenizer.json cannot say.
std::map<std::string, std::string> gguf_tokenizer_files(const std::filesystem::path& gguf);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/text/gguf_tokenizer_files-inl.hpp"
#endif
