#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/retrieval/chunker.hpp"
#include "graft/retrieval/detail/cut_places.hpp"
#include "graft/retrieval/detail/markdown.hpp"
#include "graft/retrieval/detail/scripts.hpp"

namespace graft {

namespace detail {

/// A part of a text that no passage leaves: a heading with what follows it, up to the next.
struct Section {
  std::size_t begin, end;
  std::string above;    ///< the headings above that of the section, which stands in its text
  std::string heading;  ///< the same with its own: for all passages but the first
};

GRAFT_INLINE std::string joined_headings(const std::array<std::string, 6>& titles, std::size_t levels) {
  std::string out;
  for (std::size_t level = 0; level < levels; ++level) {
    if (titles[level].empty()) continue;
    if (!out.empty()) out += " > ";
    out += titles[level];
  }
  return out;
}

/// The whole text, or each heading with what follows it; headings without text of their own go with the next.
GRAFT_INLINE std::vector<Section> sections(std::string_view text, const MarkdownOutline& outline) {
  const auto has_text = [&](std::size_t begin, std::size_t end) {
    return !std::all_of(text.begin() + static_cast<std::ptrdiff_t>(begin),
                        text.begin() + static_cast<std::ptrdiff_t>(end), is_space);
  };
  std::vector<Section> out = {{0, text.size(), "", ""}};
  std::array<std::string, 6> titles;
  std::size_t last = 0;  // the end of the heading before
  for (const MarkdownHeading& heading : outline.headings) {
    const std::size_t level = heading.level;
    const bool ends = has_text(last, std::max(last, heading.begin));
    titles[level - 1] = heading.title;
    std::fill(titles.begin() + static_cast<std::ptrdiff_t>(level), titles.end(), "");
    if (ends) {
      out.back().end = heading.begin;
      out.push_back({heading.begin, text.size(), joined_headings(titles, level - 1), ""});
    } else if (last == 0) {
      out.back().above = joined_headings(titles, level - 1);
    }
    out.back().heading = joined_headings(titles, level);
    last = heading.end;
  }
  return out;
}

/// The places of a section, as good as the lines they stand in allow.
GRAFT_INLINE std::vector<CutPlace> section_places(std::string_view text, const Section& section,
                                                  std::span<const MarkdownLines> lines) {
  std::vector<CutPlace> out = cut_places(text, section.begin, section.end);
  auto part_at = std::partition_point(lines.begin(), lines.end(),
                                      [&](const MarkdownLines& part) { return part.end <= section.begin; });
  auto place = out.begin();
  for (; part_at != lines.end() && part_at->begin < section.end; ++part_at) {
    const MarkdownLines& part = *part_at;
    place = std::partition_point(place, out.end(), [&](const CutPlace& before) { return before.at <= part.begin; });
    for (; place != out.end() && place->at < part.end; ++place) {
      std::size_t word = place->at;
      while (word > part.begin && is_space(text[word - 1]) && text[word - 1] != '\n') --word;
      if (place->rank == CutRank::paragraph) continue;
      const bool line_end = word > part.begin && text[word - 1] == '\n';
      place->rank = line_end ? CutRank::sentence : part.rows ? CutRank::character : CutRank::word;
    }
  }
  return out;
}

/// Cuts one section.
class SectionCutter {
 public:
  SectionCutter(std::string_view text, const Section& section, std::vector<CutPlace> places,
                const LengthFunction& length, const ChunkerOptions& options)
      : text_(text), end_(section.end), length_(length), options_(options), places_(std::move(places)) {
    use_heading(section.above);
  }

  void cut(const Section& section, std::vector<PassageRange>& out) {
    std::size_t begin = skip_space(section.begin), last_end = begin;
    while (begin < end_) {
      const std::size_t fitting = furthest(begin);
      const std::size_t end = fitting == end_ ? end_ : best_cut(begin, last_end, fitting);
      out.push_back({begin, trimmed(begin, end), heading_});
      if (skip_space(end) >= end_) return;
      use_heading(section.heading);
      begin = skip_space(repeated(begin, end));
      last_end = end;
    }
  }

 private:
  void use_heading(const std::string& heading) {
    heading_ = heading.empty() || length_(heading) > options_.size / 2 ? "" : heading;
  }
  std::size_t skip_space(std::size_t at) const {
    while (at < end_ && is_space(text_[at])) ++at;
    return at;
  }
  std::size_t trimmed(std::size_t begin, std::size_t end) const {
    while (end > begin && is_space(text_[end - 1])) --end;
    return end;
  }
  std::size_t length(std::size_t begin, std::size_t end) const {
    const std::string_view piece = text_.substr(begin, trimmed(begin, end) - begin);
    return length_(heading_.empty() ? piece : std::string_view(searchable(heading_, piece)));
  }
  bool fits(std::size_t begin, std::size_t end) const { return length(begin, end) <= options_.size; }

  /// The first place after `at`.
  auto place_after(std::size_t at) const {
    return std::upper_bound(places_.begin(), places_.end(), at,
                            [](std::size_t value, const CutPlace& place) { return value < place.at; });
  }

  /// The furthest place to which a passage from `begin` fits: by steps that double, then by halves.
  std::size_t furthest(std::size_t begin) {
    const auto first = place_after(begin);
    const auto count = static_cast<std::size_t>(places_.end() - first);
    const auto at = [&](std::size_t i) { return first[static_cast<std::ptrdiff_t>(i)].at; };
    if (!fits(begin, at(0))) return furthest_character(begin, at(0));
    std::size_t good = 0;     // fits
    std::size_t bad = count;  // does not fit, or is past the end
    for (std::size_t step = std::max<std::size_t>(1, guess_); good + step < bad; step *= 2) {
      if (!fits(begin, at(good + step))) {
        bad = good + step;
        break;
      }
      good += step;
    }
    while (bad - good > 1) {
      const std::size_t middle = good + (bad - good) / 2;
      (fits(begin, at(middle)) ? good : bad) = middle;
    }
    guess_ = std::max<std::size_t>(1, good * 3 / 4);
    return at(good);
  }

  /// As furthest(), within one word that is too long: at least one character.
  std::size_t furthest_character(std::size_t begin, std::size_t word_end) const {
    std::vector<std::size_t> borders;
    const std::size_t most = std::min(word_end, begin + 64 * options_.size + 4);  // no unit in use is longer
    for (std::size_t at = begin + 1; at <= most; ++at)
      if (is_character_border(text_, at) && (at == end_ || !is_mark(decode_utf8(text_, at).code_point)))
        borders.push_back(at);
    std::size_t good = 0, bad = borders.size();
    while (bad - good > 1) {
      const std::size_t middle = good + (bad - good) / 2;
      (fits(begin, borders[middle]) ? good : bad) = middle;
    }
    return borders[good];
  }

  /// The best place in the second half of [begin, fitting] and after `last_end`; the later of equal ones.
  std::size_t best_cut(std::size_t begin, std::size_t last_end, std::size_t fitting) const {
    CutPlace best{fitting, CutRank::character};
    for (auto place = place_after(std::max(last_end, begin + (fitting - begin) / 2));
         place != places_.end() && place->at <= fitting; ++place)
      if (place->rank >= best.rank) best = *place;
    if (best.rank == CutRank::character) {  // within a row of a table: rather before the row
      for (auto place = place_after(std::max(last_end, begin)); place != places_.end() && place->at < fitting; ++place)
        if (place->rank >= CutRank::sentence) best = *place;
    }
    return fits(begin, best.at) ? best.at : fitting;  // a length function may find a shorter text longer
  }

  /// Where the next passage begins: at most `overlap` before `end`, at a sentence if one begins there, and after
  /// `begin`.
  std::size_t repeated(std::size_t begin, std::size_t end) const {
    if (*options_.overlap == 0) return end;
    std::size_t word = end, sentence = end;
    for (auto place = place_after(end - 1); place != places_.begin();) {
      --place;
      if (place->at <= begin ||
          length_(text_.substr(place->at, trimmed(place->at, end) - place->at)) > *options_.overlap)
        break;
      if (place->rank > CutRank::character) word = place->at;
      if (place->rank >= CutRank::sentence) sentence = place->at;
    }
    const std::size_t next = sentence != end ? sentence : word;
    // What is repeated must leave room for something new.
    const auto after = place_after(end);
    return after == places_.end() || fits(next, after->at) ? next : end;
  }

  std::string_view text_;
  std::size_t end_;
  std::string heading_;
  const LengthFunction& length_;
  const ChunkerOptions& options_;
  std::vector<CutPlace> places_;
  std::size_t guess_ = 8;
};

}  // namespace detail

GRAFT_INLINE Chunker::Chunker(LengthFunction length, std::string name, ChunkerOptions options)
    : length_(std::move(length)), name_(std::move(name)), options_(options) {
  if (!length_) throw OptionError("a chunker has no length function; give one that counts tokens, words or bytes");
  if (name_.empty()) throw OptionError("a chunker's length function has no name; say what it counts");
  if (options_.size < 1 || options_.size > 1 << 20)
    throw OptionError(message("passages of size ", options_.size, " are not possible; choose 1 to 1048576"));
  if (!options_.overlap) options_.overlap = std::min<std::size_t>(20, options_.size / 10);
  if (*options_.overlap > options_.size / 2)
    throw OptionError(message("an overlap of ", *options_.overlap, " is more than half of size ", options_.size,
                              "; choose 0 to ", options_.size / 2));
}

GRAFT_INLINE std::vector<PassageRange> Chunker::cut(std::string_view text) const {
  if (const std::size_t at = find_invalid_utf8(text); at != text.npos)
    throw OptionError(message("a text is not UTF-8 at byte ", at, "; convert it first"));
  const detail::MarkdownOutline outline =
      options_.markdown ? detail::markdown_outline(text) : detail::MarkdownOutline();
  std::vector<PassageRange> out;
  for (const detail::Section& section : detail::sections(text, outline))
    detail::SectionCutter(text, section, detail::section_places(text, section, outline.lines), length_, options_)
        .cut(section, out);
  return out;
}

GRAFT_INLINE std::string Chunker::name() const {
  return message("passages 2, ", options_.size, " ", name_, ", overlap ", *options_.overlap,
                 options_.markdown ? ", markdown" : "");
}

}  // namespace graft
