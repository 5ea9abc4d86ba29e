#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/text/detail/byte_alphabet.hpp"
#include "graft/text/detail/splits.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

/// `bytes` with U+FFFD in the place of each maximal subpart that is not UTF-8.
inline std::string valid_utf8(std::string bytes) {
  if (is_utf8(bytes)) return bytes;
  std::string out;
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Step step = decode_utf8(bytes, at);
    append_utf8(out, step.code_point);
    at += step.length;
  }
  return out;
}

/// One step of a decoder: tokens become others.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

/// Spelled bytes become bytes again; a token that spells none, such as an added one, is taken as it is.
class ByteLevelStep final : public DecoderStep {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += ByteAlphabet::instance().bytes(token).value_or(token);
    tokens.assign(1, valid_utf8(std::move(bytes)));
  }
};

/// Replaces every match of `Find`, one of splits.hpp, in each token.
template <class Find>
class ReplaceStep final : public DecoderStep {
 public:
  ReplaceStep(Find find, std::string content) : find_(std::move(find)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string out;
      std::size_t done = 0;
      find_(std::string_view(token), [&](std::size_t begin, std::size_t end) {
        out.append(token, done, begin - done).append(content_);
        done = end;
      });
      if (done > 0 || !out.empty()) token = out.append(token, done);
    }
  }

 private:
  Find find_;
  std::string content_;
};

inline std::unique_ptr<const DecoderStep> replace_step(std::string pattern, std::string content) {
  return std::make_unique<ReplaceStep<FindText>>(FindText{std::move(pattern)}, std::move(content));
}

/// Runs of <0x00> to <0xFF> become text; a run that is not UTF-8 one U+FFFD a byte.
class ByteFallbackStep final : public DecoderStep {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto finish = [&] {
      if (bytes.empty()) return;
      if (is_utf8(bytes)) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\uFFFD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = byte_of(token)) {
        bytes.push_back(*byte);
      } else {
        finish();
        out.push_back(std::move(token));
      }
    }
    finish();
    tokens = std::move(out);
  }

 private:
  static std::optional<char> byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
    int value = 0;
    for (const char c : token.substr(3, 2)) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                               : -1;
      if (digit < 0) return std::nullopt;
      value = value * 16 + digit;
    }
    return static_cast<char>(value);
  }
};

class FuseStep final : public DecoderStep {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, std::move(all));
  }
};

/// Takes up to so many of one character from both ends of each token.
class StripStep final : public DecoderStep {
 public:
  StripStep(std::string character, std::size_t start, std::size_t stop)
      : character_(std::move(character)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (std::size_t i = 0; i < start_ && rest.starts_with(character_); ++i) rest.remove_prefix(character_.size());
      for (std::size_t i = 0; i < stop_ && rest.ends_with(character_); ++i) rest.remove_suffix(character_.size());
      token = std::string(rest);
    }
  }

 private:
  std::string character_;
  std::size_t start_, stop_;
};

/// A sign such as U+2581 becomes a space; in the first token, where Metaspace put one in front, nothing.
class MetaspaceStep final : public DecoderStep {
 public:
  MetaspaceStep(std::string sign, bool prefix) : first_({sign}, prefix ? "" : " "), others_({sign}, " ") {}
  void apply(std::vector<std::string>& tokens) const override {
    if (tokens.empty()) return;
    std::vector<std::string> first{std::move(tokens.front())};
    first_.apply(first);
    others_.apply(tokens);
    tokens.front() = std::move(first.front());
  }

 private:
  ReplaceStep<FindText> first_, others_;
};

/// Closes up punctuation and English contractions, each token for itself, as the reference does it.
inline void clean_up(std::string& token) {
  static constexpr std::pair<std::string_view, std::string_view> rules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  for (const auto& [from, to] : rules) {
    for (std::size_t at = token.find(from); at != std::string::npos; at = token.find(from, at + to.size())) {
      token.replace(at, from.size(), to);
    }
  }
}

/// Puts spaces between, glues continuing pieces on.
class WordPieceStep final : public DecoderStep {
 public:
  WordPieceStep(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) {
        if (tokens[i].starts_with(prefix_)) {
          tokens[i].erase(0, prefix_.size());
        } else {
          tokens[i].insert(0, 1, ' ');
        }
      }
      if (cleanup_) clean_up(tokens[i]);
    }
  }

 private:
  std::string prefix_;
  bool cleanup_;
};

/// What ends a word, such as </w>, becomes a space; in the last token, nothing.
class WordEndStep final : public DecoderStep {
 public:
  explicit WordEndStep(std::string suffix) : last_({suffix}, ""), others_({suffix}, " ") {}
  void apply(std::vector<std::string>& tokens) const override {
    if (tokens.empty()) return;
    std::vector<std::string> last{std::move(tokens.back())};
    tokens.pop_back();
    others_.apply(tokens);
    last_.apply(last);
    tokens.push_back(std::move(last.front()));
  }

 private:
  ReplaceStep<FindText> last_, others_;
};

/// Of what speech models say: one of several equal tokens in a row stays, the padding goes.
class CtcStep final : public DecoderStep {
 public:
  CtcStep(std::string padding, std::string delimiter, bool cleanup)
      : padding_({std::move(padding)}, ""), delimiter_({std::move(delimiter)}, " "), cleanup_(cleanup) {}
  void apply(std::vector<std::string>& tokens) const override {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    padding_.apply(tokens);
    if (cleanup_) {
      for (std::string& token : tokens) clean_up(token);
      delimiter_.apply(tokens);
    }
    std::erase_if(tokens, [](const std::string& token) { return token.empty(); });
  }

 private:
  ReplaceStep<FindText> padding_, delimiter_;
  bool cleanup_;
};

/// A decoder made of steps; what they leave is joined.
class StepDecoder final : public Decoder {
 public:
  explicit StepDecoder(std::vector<std::unique_ptr<const DecoderStep>> steps) : steps_(std::move(steps)) {}
  explicit StepDecoder(std::unique_ptr<const DecoderStep> step) { steps_.push_back(std::move(step)); }

  std::string decode(std::span<const std::string_view> tokens) const override {
    std::vector<std::string> work(tokens.begin(), tokens.end());
    for (const auto& step : steps_) step->apply(work);
    std::string out;
    for (const std::string& token : work) out += token;
    return out;
  }

 private:
  std::vector<std::unique_ptr<const DecoderStep>> steps_;
};

/// No decoder: tokens with spaces between them.
class SpaceDecoder final : public Decoder {
 public:
  std::string decode(std::span<const std::string_view> tokens) const override {
    std::string out;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) out += ' ';
      out += tokens[i];
    }
    return out;
  }
};

}  // namespace graft::detail
