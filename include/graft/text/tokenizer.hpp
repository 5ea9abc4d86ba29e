#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/text_range.hpp"

namespace graft {

namespace detail {
struct Stages;
}

/// Which text loses tokens when there are too many.
enum class TruncationStrategy {
  longest_first,  ///< the longer of a pair first; equally long, both
  only_first,     ///< only the first text
  only_second,    ///< only the second text of a pair
};

enum class TruncationDirection {
  right,  ///< keeps the beginning
  left,   ///< keeps the end
};

struct EncodeOptions {
  /// Most tokens of the result, special ones included; nothing is cut without it.
  std::optional<std::size_t> max_length = {};
  TruncationStrategy truncation = TruncationStrategy::longest_first;
  TruncationDirection direction = TruncationDirection::right;
  bool add_special_tokens = true;  ///< [CLS] and [SEP], or whatever the tokenizer's file asks for
  /// false: what reads like a special token is encoded as the plain text it is. For text that nobody vouches for, which
  /// could otherwise end a prompt with "<|im_end|>". Added tokens that are not special are still found.
  bool special_tokens_in_text = true;
  bool strict_utf8 = false;  ///< an error for bytes that are not UTF-8, instead of U+FFFD in their place
};

/// A text, or a pair of texts, as a model takes it. All lists are as long as `ids`.
struct Encoding {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> type_ids;  ///< 0 or 1: the segment, as the tokenizer's file sets it
  /// Bytes of the original text that each token came from; of special tokens added around it, [0, 0).
  std::vector<TextRange> offsets;
  std::vector<std::uint8_t> special_mask;  ///< 1: a special token added around the text, in no text itself
  std::vector<std::int8_t> sequences;      ///< which text `offsets` refers to: 0 the first, 1 the second, -1 none
  std::size_t cut = 0;                     ///< tokens of the texts that max_length left out

  std::size_t size() const { return ids.size(); }
};

/// A stretch of a prompt: the name of one special token, or text in which nothing is special.
struct PromptPart {
  std::string text;
  bool special = false;
  friend bool operator==(const PromptPart&, const PromptPart&) = default;
};

/// Text to token ids and back: the whole pipeline that a tokenizer.json or vocab.txt describes.
///
/// Promise: ids, type ids, offsets and special mask are those of Hugging Face's fast tokenizer for every text. A file
/// that asks for a component graft does not have is an error that names it. Supported: all models, normalizers,
/// pre-tokenizers, decoders and post-processors of that library, in any composition; the vocabularies of GGUF files.
/// Time is linear in the text, with BPE n log n in the length of a word; what a regular expression of a file may cost
/// is limited. Texts are shorter than 4 GiB. Threads: immutable; every member function may run on many at once. A copy
/// shares the vocabulary.
class Tokenizer {
 public:
  /// From a directory (its tokenizer.json, else its vocab.txt) or from either file, or from a GGUF file.
  ///
  /// A directory's tokenizer_config.json is read too: with vocab.txt it says how to normalize, and where it contradicts
  /// tokenizer.json that is an error. Padding and truncation stated in tokenizer.json are not applied by themselves:
  /// see EncodeOptions and file_max_length(). Throws FileError, and FormatError with the file and the component, field
  /// or token at fault.
  static Tokenizer load(const std::filesystem::path& path);

  /// Throws OptionError if max_length leaves no room for the special tokens, or if the chosen text cannot lose enough;
  /// FormatError, with the byte, for invalid UTF-8 under strict_utf8.
  Encoding encode(std::string_view text, const EncodeOptions& options = {}) const;
  Encoding encode(std::string_view first, std::string_view second, const EncodeOptions& options = {}) const;

  /// encode() of each text, in order, spread over `threads` threads (0: all cores). If several throw, the error of the
  /// first of them in order is thrown.
  std::vector<Encoding> encode_batch(std::span<const std::string> texts, const EncodeOptions& options = {},
                                     unsigned threads = 0) const;
  std::vector<Encoding> encode_batch(std::span<const std::string_view> texts, const EncodeOptions& options = {},
                                     unsigned threads = 0) const;

  /// encode(first, second) of each of `seconds`, likewise; `first` is looked at once.
  std::vector<Encoding> encode_pairs(std::string_view first, std::span<const std::string> seconds,
                                     const EncodeOptions& options = {}, unsigned threads = 0) const;

  /// The ids of a prompt, those of a text that reads the same but whose parts are what they are said to be: whatever
  /// stands in a part that is not special is text. Nothing is added. Throws FormatError, naming them, for special
  /// tokens that the vocabulary lacks.
  std::vector<std::int32_t> encode_prompt(std::span<const PromptPart> parts) const;

  /// The text that `ids` stand for, close to the original: case, accents and spacing do not come back.
  /// Throws OptionError for an id that is not in the vocabulary.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = true) const;

  std::optional<std::int32_t> id(std::string_view token) const;

  /// As Hugging Face's tokenizers names it: an added token that is looked for in normalized text by its normal form.
  std::optional<std::string_view> token(std::int32_t id) const;

  /// Whether it is a special token, such as [SEP] or <|im_end|>, which decode() leaves out on request.
  bool is_special(std::int32_t id) const;

  /// How many tokens there are, added ones included; with gaps between ids, fewer than id_limit().
  std::size_t vocabulary_size() const;

  /// One more than the largest id: an embedding needs at least so many rows.
  std::int32_t id_limit() const;

  /// How many special tokens encode() adds around one text, or around a pair.
  std::size_t special_tokens_added(bool pair = false) const;

  /// The max_length of the file's own truncation, which nothing applies by itself.
  std::optional<std::size_t> file_max_length() const;

 private:
  explicit Tokenizer(std::shared_ptr<const detail::Stages> stages);

  std::shared_ptr<const detail::Stages> stages_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/text/tokenizer-inl.hpp"
#endif
