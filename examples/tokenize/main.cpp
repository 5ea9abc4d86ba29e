// Prints the token ids that a model's tokenizer gives to each line of standard input, a JSON object a line:
//   echo "Hello, unaffable world" | tokenize --model .deps/model
//   {"ids":[101,7592,...],"offsets":[[0,0],[0,5],...],"tokens":["[CLS]","hello",...]}

#include <cstdint>
#include <exception>
#include <iostream>
#include <string>

#include <nlohmann/json.hpp>

#include "cli.hpp"
#include "graft/core/console.hpp"
#include "graft/core/json.hpp"
#include "graft/text/tokenizer.hpp"

namespace {

std::string json_line(const graft::Tokenizer& tokenizer, const graft::Encoding& encoding) {
  graft::Json tokens = graft::Json::array(), offsets = graft::Json::array();
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    tokens.push_back(*tokenizer.token(encoding.ids[i]));
    offsets.push_back({encoding.offsets[i].begin, encoding.offsets[i].end});
  }
  return graft::Json{{"ids", encoding.ids}, {"tokens", tokens}, {"offsets", offsets}}.dump();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes the token ids, tokens and byte offsets of each line of standard input as a line of JSON.");
  std::string model;
  graft::EncodeOptions options;
  std::size_t max_length = 0;
  bool no_special_tokens = false;
  app.add_option("--model", model, "Directory with tokenizer.json or vocab.txt, or one of these files")->required();
  const auto* limit = app.add_option("--max-length", max_length, "Cut to so many tokens, special ones included")
                          ->check(whole_number(1));
  app.add_flag("--no-special-tokens", no_special_tokens, "Leave out [CLS], [SEP] and the like");
  app.add_flag("--strict", options.strict_utf8, "Stop at a line that is not UTF-8, instead of reading U+FFFD");
  return run_cli("tokenize", app, argc, argv, [&] {
    if (*limit) options.max_length = max_length;
    options.add_special_tokens = !no_special_tokens;
    const graft::Tokenizer tokenizer = graft::Tokenizer::load(model);
    std::ios::sync_with_stdio(false);
    std::uint64_t number = 0;
    try {
      for (std::string line; ++number, std::getline(std::cin, line);)
        std::cout << json_line(tokenizer, tokenizer.encode(line, options)) << '\n';
    } catch (const graft::Error& error) {
      throw graft::FormatError(graft::message("line ", number, ": ", error.what()));
    }
    return 0;
  });
}
