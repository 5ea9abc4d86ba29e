
#include <nlohmann/json.hpp>

#include "printing.hpp"

graft::Json json_of(const graft::Hit& hit) {
  graft::Json json = {{"uri", hit.document.uri},
                      {"score", hit.score},
                      {"begin", hit.context_begin},
                      {"end", hit.context_end},
                      {"heading", hit.passage.range.heading},
                      {"text", hit.context},
                      {"metadata", hit.document.metadata}};
  json["similarity"] = hit.similarity ? graft::Json(*hit.similarity) : graft::Json();
  json["word_score"] = hit.word_score ? graft::Json(*hit.word_score) : graft::Json();
  json["rerank_score"] = hit.rerank_score ? graft::Json(*hit.rerank_score) : graft::Json();
  return json;
}

std::string one_line(const std::string& text, std::size_t limit) {
  std::string line;
  for (const char c : text) {
    const bool blank = static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
    if (line.size() >= limit && (static_cast<unsigned char>(c) & 0xC0) != 0x80) return line + " ...";
    if (!blank)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  return line;
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x20 ? c != 0x7f : c == '\n' || c == '\t') out += c;
  return out;
}
