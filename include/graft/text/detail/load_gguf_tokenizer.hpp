#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/io/gguf.hpp"
#include "graft/text/bpe.hpp"
#include "graft/text/detail/decoder_steps.hpp"
#include "graft/text/detail/gguf_pre_tokenizers.hpp"
#include "graft/text/detail/pipeline.hpp"
#include "graft/text/detail/pre_tokenizers.hpp"
#include "graft/text/detail/read_added_tokens.hpp"
#include "graft/text/detail/read_pre_tokenizer.hpp"

namespace graft::detail {

/// What a GGUF file says of its vocabulary, checked.
struct GgufVocabulary {
  explicit GgufVocabulary(const GgufMetadata& metadata)
      : data(metadata), spelled(metadata.texts("tokenizer.ggml.tokens")) {
    if (data.has("tokenizer.ggml.token_type")) {
      types = data.integers("tokenizer.ggml.token_type");
      check_count("tokenizer.ggml.token_type", types.size());
    }
    for (std::size_t i = 0; i < spelled.size(); ++i) {
      constexpr std::size_t longest = 512;  // finding the merges of a token takes the square of its length
      if (spelled[i].size() > longest) {
        throw FormatError(message(data.where(), ": \"tokenizer.ggml.tokens\"[", i, "] has ", spelled[i].size(),
                                  " bytes, more than ", longest));
      }
      if (!is_utf8(spelled[i])) {
        throw FormatError(
            message(data.where(), ": \"tokenizer.ggml.tokens\"[", i, "], ", quoted(spelled[i]), ", is not UTF-8"));
      }
      entries.push_back({std::string(spelled[i]), static_cast<std::int32_t>(i)});
    }
  }

  void check_count(std::string_view key, std::size_t count) const {
    if (count != spelled.size()) data.fail(key, message("as long as the list of ", spelled.size(), " tokens"));
  }

  std::optional<std::int32_t> token_id(const char* name) const {
    const std::string key = message("tokenizer.ggml.", name, "_token_id");
    if (!data.has(key)) return std::nullopt;
    return static_cast<std::int32_t>(data.integer(key, 0, static_cast<std::int64_t>(spelled.size()) - 1));
  }

  /// Of a token that stands twice the last counts, as in llama.cpp.
  Vocabulary vocabulary() const {
    return Vocabulary(entries, data.where() + ": \"tokenizer.ggml.tokens\"", Vocabulary::Repeated::last);
  }

  /// Control tokens are special; what users defined is found in text too. A file without types has no control tokens
  /// but those that it names.
  std::vector<AddedToken> added_tokens(const Vocabulary& vocabulary) const {
    constexpr std::int64_t normal = 1, control = 3, user_defined = 4;
    std::vector<std::int64_t> kinds = types;
    if (kinds.empty()) {
      kinds.assign(entries.size(), normal);
      for (const char* name : {"bos", "eos", "eot", "eom", "padding", "mask"}) {
        if (const auto id = token_id(name)) kinds[static_cast<std::size_t>(*id)] = control;
      }
    }
    std::vector<AddedToken> out;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      if ((kinds[i] != control && kinds[i] != user_defined) || entries[i].token.empty()) continue;
      if (entries[i].token != spelled[i] || vocabulary.find(entries[i].token) != entries[i].id) continue;
      AddedToken token;
      token.content = entries[i].token;
      token.id = entries[i].id;
      token.special = kinds[i] == control;
      out.push_back(std::move(token));
    }
    return out;
  }

  const GgufMetadata& data;
  std::vector<std::string_view> spelled;
  std::vector<std::int64_t> types;
  std::vector<Vocabulary::Entry> entries;  // the spelled tokens, some of Gemma's respelled
};

inline std::vector<BpeMerge> read_gguf_merges(const GgufMetadata& data) {
  std::vector<BpeMerge> merges;
  const std::vector<std::string_view> list = data.texts("tokenizer.ggml.merges");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::size_t space = list[i].find(' ', 1);
    if (space == std::string_view::npos) {
      throw FormatError(message(data.where(), ": \"tokenizer.ggml.merges\"[", i, "] is ", quoted(list[i]),
                                ", but must be two tokens with a space between them"));
    }
    merges.push_back({std::string(list[i].substr(0, space)), std::string(list[i].substr(space + 1))});
  }
  return merges;
}

/// Of tokens whose order is that of their merges.
inline std::vector<double> scores_of_order(std::size_t count) {
  std::vector<double> scores(count);
  for (std::size_t i = 0; i < count; ++i) scores[i] = -static_cast<double>(i);
  return scores;
}

/// SentencePiece files list no merges: every way to cut a token into two others is one, the best token's first, of one
/// token those with the longer left part first.
inline std::vector<BpeMerge> merges_of_scores(const Vocabulary& vocabulary, const std::vector<double>& scores) {
  struct Cut {
    double score;
    std::int32_t id;
    std::uint32_t left_bytes, left, right;  // the latter in characters
  };
  std::vector<Cut> cuts;
  for (std::int32_t id = 0; id < vocabulary.id_limit(); ++id) {
    const std::string_view token = *vocabulary.token(id);
    const auto characters = static_cast<std::uint32_t>(std::count_if(
        token.begin(), token.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
    std::uint32_t left = 1;
    for (std::size_t at = 0; left < characters; ++left) {
      at += decode_valid_utf8(token.data() + at).length;
      if (vocabulary.find(token.substr(0, at)) < 0 || vocabulary.find(token.substr(at)) < 0) continue;
      cuts.push_back(
          {scores[static_cast<std::size_t>(id)], id, static_cast<std::uint32_t>(at), left, characters - left});
    }
  }
  std::stable_sort(cuts.begin(), cuts.end(), [](const Cut& a, const Cut& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.left != b.left ? a.left > b.left : a.right > b.right;
  });
  std::vector<BpeMerge> merges;
  merges.reserve(cuts.size());
  for (const Cut& cut : cuts) {
    const std::string_view token = *vocabulary.token(cut.id);
    merges.push_back({std::string(token.substr(0, cut.left_bytes)), std::string(token.substr(cut.left_bytes))});
  }
  return merges;
}

/// Byte-level BPE, as the file has it; the name of its pre-tokenizer says how text is cut.
struct GgufByteLevel {
  explicit GgufByteLevel(const GgufVocabulary& file)
      : kind(find_gguf_pre_tokenizer(file.data.text("tokenizer.ggml.pre", "gpt-2"))), vocabulary(file.vocabulary()) {
    if (!kind) {
      std::string names;
      for (const GgufPreTokenizer& each : gguf_pre_tokenizers())
        names += message(names.empty() ? "" : ", ", each.names.front());
      file.data.fail("tokenizer.ggml.pre", message("one that graft knows: ", names, " or another name of these"));
    }
    merges = file.data.has("tokenizer.ggml.merges")
                 ? read_gguf_merges(file.data)
                 : merges_of_scores(vocabulary, scores_of_order(file.spelled.size()));
  }

  const GgufPreTokenizer* kind;
  Vocabulary vocabulary;
  std::vector<BpeMerge> merges;
};

/// SentencePiece's BPE, of Llama 2 and its kin and of Gemma, as the file has it.
struct GgufSentencePiece {
  explicit GgufSentencePiece(GgufVocabulary& file)
      : prefix(file.data.boolean("tokenizer.ggml.add_space_prefix", true)) {
    const bool merged = file.data.has("tokenizer.ggml.merges"), scored = file.data.has("tokenizer.ggml.scores");
    std::vector<double> scores(file.spelled.size());
    if (scored) {
      scores = file.data.numbers("tokenizer.ggml.scores");
      file.check_count("tokenizer.ggml.scores", scores.size());
    }
    const bool gemma = file.data.text("general.architecture", "").starts_with("gemma");
    if (gemma) {
      // Gemma's merges go by the order of its tokens, whatever the scores say; and the file writes the tokens of
      // several spaces with spaces, the model with U+2581.
      scores = scores_of_order(scores.size());
      for (auto& entry : file.entries) {
        std::string& token = entry.token;
        if (token.size() < 2 || token.find_first_not_of(' ') != std::string::npos) continue;
        const std::size_t spaces = token.size();
        token.clear();
        while (token.size() < spaces * Metaspace::sign.size()) token += Metaspace::sign;
      }
    }
    vocabulary = file.vocabulary();
    // Without scores, and without merges, every pair is as good as another, as in llama.cpp.
    leftmost_first = !merged && !scored && !gemma;
    if (const auto id = file.token_id("unknown")) unknown_token = *vocabulary.token(*id);
    merges = merged ? read_gguf_merges(file.data) : merges_of_scores(vocabulary, scores);
  }

  bool prefix;  ///< a text begins as if a space stood before it
  Vocabulary vocabulary;
  std::vector<BpeMerge> merges;
  bool leftmost_first = false;
  std::optional<std::string> unknown_token;
};

/// Returns whether a text begins with the begin token where the file does not say.
inline bool set_byte_level(Stages& stages, const GgufVocabulary& file) {
  GgufByteLevel read(file);
  std::vector<std::unique_ptr<const Rewrite>> rewrites;
  if (read.kind->nfc) rewrites.push_back(std::make_unique<NormalFormRewrite>(NormalFormKind::nfc));
  stages.normalizer = std::make_unique<RewritingNormalizer>(std::move(rewrites));
  stages.pre_tokenizer = pre_tokenizer_of(*read.kind);
  stages.model = named(file.data.where(), [&] {
    return std::make_unique<ByteBpe>(std::move(read.vocabulary), read.merges,
                                     ByteBpeOptions{.whole_words = read.kind->whole_words});
  });
  stages.decoder = std::make_unique<StepDecoder>(std::make_unique<ByteLevelStep>());
  return read.kind->begins;
}

inline void set_sentencepiece(Stages& stages, GgufVocabulary& file) {
  GgufSentencePiece read(file);
  CharacterBpeOptions options{.unknown_token = read.unknown_token,
                              .fuse_unknown = true,
                              .byte_fallback = true,
                              .leftmost_first = read.leftmost_first};
  stages.normalizer = std::make_unique<PlainNormalizer>();
  stages.pre_tokenizer = std::make_unique<Metaspace>(
      std::string(Metaspace::sign), read.prefix ? MetaspacePrefix::first : MetaspacePrefix::never, false);
  stages.model = named(file.data.where(), [&] {
    return std::make_unique<CharacterBpe>(std::move(read.vocabulary), read.merges, std::move(options));
  });
  std::vector<std::unique_ptr<const DecoderStep>> steps;
  steps.push_back(replace_step(std::string(Metaspace::sign), " "));
  steps.push_back(std::make_unique<ByteFallbackStep>());
  steps.push_back(std::make_unique<FuseStep>());
  if (read.prefix) steps.push_back(std::make_unique<StripStep>(" ", 1, 0));
  stages.decoder = std::make_unique<StepDecoder>(std::move(steps));
}

/// Begin and end tokens around each text, as the file says.
inline Template gguf_template(const GgufVocabulary& file, bool begins_by_default) {
  const auto wanted = [&](const char* flag, const char* name, bool fallback) -> std::optional<std::int32_t> {
    if (!file.data.boolean(message("tokenizer.ggml.add_", flag, "_token"), fallback)) return std::nullopt;
    return file.token_id(name);
  };
  const auto begin = wanted("bos", "bos", begins_by_default), end = wanted("eos", "eos", false);
  const auto add = [&](std::vector<Template::Step>& steps, Template::Kind kind, std::int32_t type_id) {
    if (begin) steps.push_back({Template::Kind::special, type_id, *begin});
    steps.push_back({kind, type_id, 0});
    if (end) steps.push_back({Template::Kind::special, type_id, *end});
  };
  Template out{{}, {}};
  add(out.single, Template::Kind::first, 0);
  out.pair = out.single;
  add(out.pair, Template::Kind::second, 1);
  return out;
}

inline Stages load_gguf_tokenizer(const std::filesystem::path& path) {
  const GgufFile gguf(path);
  GgufVocabulary file(gguf.metadata());
  Stages stages;
  const std::string_view model = file.data.text("tokenizer.ggml.model");
  bool begins = true;
  if (model == "llama") {
    set_sentencepiece(stages, file);
  } else if (model == "gpt2") {
    begins = set_byte_level(stages, file);
  } else {
    file.data.fail("tokenizer.ggml.model", "gpt2 (byte-level BPE) or llama (that of SentencePiece)");
  }
  stages.vocabulary = stages.model->vocabulary();
  set_added_tokens(stages, file.added_tokens(stages.vocabulary), file.data.where());
  stages.post_processor = gguf_template(file, begins);
  return stages;
}

}  // namespace graft::detail
