#pragma once

// Reads what tests/reference/tokenizer_parity.py and bpe_parity.py write; the former explains the files.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/file.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

using Numbers = std::vector<std::uint32_t>;

class Reader {
 public:
  explicit Reader(const std::string& path) : bytes_(read_file(path, 1 << 30)) {}

  Numbers numbers(std::size_t count) {
    Numbers out(count);
    const std::string_view part = text(count * sizeof(std::uint32_t));
    std::memcpy(out.data(), part.data(), part.size());
    return out;
  }
  std::string_view text(std::size_t length) {
    if (length > bytes_.size() - at_) throw std::runtime_error("the reference ends early");
    return std::string_view(bytes_).substr(std::exchange(at_, at_ + length), length);
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

inline std::vector<std::string> read_texts(const std::string& path) {
  Reader reader(path);
  std::vector<std::string> texts;
  for (const std::uint32_t length : reader.numbers(reader.numbers(1)[0])) texts.emplace_back(reader.text(length));
  return texts;
}

/// What the reference makes of each text of a list, in order.
class Expected {
 public:
  explicit Expected(const std::string& path) {
    Reader reader(path);
    counts_ = reader.numbers(reader.numbers(1)[0]);
    std::size_t tokens = 0;
    for (const std::uint32_t count : counts_) tokens += count;
    ids_ = reader.numbers(tokens);
    offsets_ = reader.numbers(2 * tokens);
  }

  std::size_t size() const { return counts_.size(); }

  /// Whether `ours` is what comes next.
  testing::AssertionResult next(const Encoding& ours) {
    const std::size_t begin = at_, end = at_ += counts_[text_++];
    bool equal = ours.size() == end - begin;
    for (std::size_t i = begin; equal && i < end; ++i) {
      const TextRange range = ours.offsets[i - begin];
      equal = static_cast<std::uint32_t>(ours.ids[i - begin]) == ids_[i] && range.begin == offsets_[2 * i] &&
              range.end == offsets_[2 * i + 1];
    }
    if (equal) return testing::AssertionSuccess();
    testing::AssertionResult failure = testing::AssertionFailure() << "text " << text_ - 1 << "\n expected";
    for (std::size_t i = begin; i < end; ++i) {
      failure << " " << ids_[i] << "[" << offsets_[2 * i] << "," << offsets_[2 * i + 1] << ")";
    }
    failure << "\n      got";
    for (std::size_t i = 0; i < ours.size(); ++i) {
      failure << " " << ours.ids[i] << "[" << ours.offsets[i].begin << "," << ours.offsets[i].end << ")";
    }
    return failure;
  }

 private:
  Numbers counts_, ids_, offsets_;
  std::size_t text_ = 0, at_ = 0;
};

/// For messages: every byte outside printable ASCII as \xNN.
inline std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text) {
    char buffer[8];
    std::snprintf(buffer, sizeof buffer, c >= ' ' && c < 127 ? "%c" : "\\x%02x", static_cast<unsigned char>(c));
    out += buffer;
  }
  return out;
}

/// Whether `tokenizer` gives the ids and offsets in the file `reference` for each of the texts.
inline void expect_equal_tokens(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
                                const std::string& reference, const EncodeOptions& options = {}) {
  Expected expected(reference);
  ASSERT_EQ(expected.size(), texts.size());
  const std::vector<Encoding> encodings = tokenizer.encode_batch(texts, options);
  for (std::size_t i = 0, failures = 0; i < texts.size() && failures < 10; ++i) {
    const auto result = expected.next(encodings[i]);
    failures += !result;
    EXPECT_TRUE(result) << reference << ": " << shown(texts[i]);
  }
}

}  // namespace graft
