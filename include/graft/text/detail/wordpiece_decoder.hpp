#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "graft/text/stages.hpp"

namespace graft::detail {

/// Joins with spaces, glues continuing pieces on, and with `cleanup` closes up punctuation and English contractions.
class WordPieceDecoder final : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}

  std::string decode(std::span<const std::string_view> tokens) const override {
    std::string out, piece;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const bool continues = i > 0 && tokens[i].starts_with(prefix_);
      piece.clear();
      if (i > 0 && !continues) piece += ' ';
      piece += continues ? tokens[i].substr(prefix_.size()) : tokens[i];
      if (cleanup_) clean(piece);
      out += piece;
    }
    return out;
  }

 private:
  /// Each token for itself, as the reference does it.
  static void clean(std::string& piece) {
    static constexpr std::pair<std::string_view, std::string_view> rules[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (const auto& [from, to] : rules) {
      for (std::size_t at = piece.find(from); at != std::string::npos; at = piece.find(from, at + to.size())) {
        piece.replace(at, from.size(), to);
      }
    }
  }

  std::string prefix_;
  bool cleanup_;
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
