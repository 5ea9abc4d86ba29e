#include "graft/rag/citations.hpp"

#include "fuzz/fuzz.hpp"

namespace graft::fuzzing::citations {

namespace {

struct Answer {
  std::string text;
  std::vector<Citation> citations;
  std::vector<std::string> unknown;
};

Answer read(std::set<std::size_t> numbers, std::string_view text, std::size_t piece) {
  CitationReader reader(std::move(numbers));
  std::string given;
  for (std::size_t at = 0; at < text.size(); at += piece) given += reader.add(text.substr(at, piece));
  given += reader.finish();
  check(given == reader.text(), "the pieces that were given are not the text");
  return {reader.text(), reader.citations(), reader.unknown()};
}

/// Of `input` nothing is gone but marks, each of at most 100 bytes, and nothing new is in `text` but lists of numbers
/// that are written anew.
void only_marks_are_gone(std::string_view input, std::string_view text, std::size_t marks) {
  const auto without_lists = [](std::string_view from) {
    std::string out;
    for (const char c : from)
      if (static_cast<unsigned char>(c) < 0x80 &&
          std::string_view(" ,;-[]0123456789").find(c) == std::string_view::npos)
        out += c;
    return out;
  };
  const std::string before = without_lists(input), after = without_lists(text);
  std::size_t found = 0;
  for (const char c : before)
    if (found < after.size() && after[found] == c) ++found;
  check(found == after.size(), "an answer has what was not written");
  check(before.size() - after.size() <= 100 * marks, "more is gone than marks");
  check(std::count(input.begin(), input.end(), '\n') == std::count(text.begin(), text.end(), '\n'), "a line is gone");
}

}  // namespace

/// An answer: it reads the same in pieces, and nothing of it changes but marks that name no source.
void fuzz(std::string_view input) {
  static const std::set<std::size_t> all = [] {
    std::set<std::size_t> numbers;
    for (std::size_t i = 1; i <= 999; ++i) numbers.insert(i);
    return numbers;
  }();
  const Answer marked = read(all, input, input.size() + 1);
  if (marked.unknown.empty()) check(marked.text == input, "an answer without unknown marks was changed");
  std::size_t last = 0;
  for (const Citation& citation : marked.citations) {
    check(last <= citation.begin && citation.begin < citation.end && citation.end <= marked.text.size(),
          "citations are out of order");
    last = citation.begin;
  }

  const std::set<std::size_t> few{1, 2, 4};
  const Answer answer = read(few, input, input.size() + 1);
  for (const std::size_t piece : {1, 3, 7}) {
    const Answer other = read(few, input, piece);
    check(other.text == answer.text, "an answer reads otherwise in pieces");
    check(other.citations == answer.citations && other.unknown == answer.unknown, "marks are others in pieces");
  }
  for (const Citation& citation : answer.citations) {
    check(citation.begin < citation.end && citation.end <= answer.text.size(), "a mark lies outside the text");
    check(few.contains(citation.number), "a citation names no source");
  }
  if (answer.unknown.empty()) check(answer.text == input, "an answer whose marks all name sources was changed");
  only_marks_are_gone(input, answer.text, answer.unknown.size());
}

}  // namespace graft::fuzzing::citations
