// Writes seeds of the binary formats, and lists of all: fuzz_seeds <folder of seeds in the sources> <folder of its
// own>.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "fuzz/sound_store.hpp"
#include "graft/io/gguf.hpp"
#include "graft/io/safetensors.hpp"
#include "support/gguf_bytes.hpp"
#include "support/temporary_directory.hpp"
#include "text/tokenizer_files.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, std::string_view bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

void write_safetensors_seeds(const fs::path& to) {
  fs::create_directories(to);
  const std::vector<std::byte> bytes(24);
  const auto some = [&](std::size_t count) { return std::span(bytes).first(count); };
  write_safetensors(to / "none", std::vector<TensorBytes>{});
  write_safetensors(to / "some",
                    std::vector<TensorBytes>{{"a.weight", ElementType::F32, {2, 3}, some(24)},
                                             {"a.bias", ElementType::BF16, {3}, some(6)},
                                             {"scalar", ElementType::I64, {}, some(8)},
                                             {"empty", ElementType::U8, {0, 4}, {}}},
                    {{"format", "pt"}});
}

void write_gguf_seeds(const fs::path& to) {
  using namespace gguf_bytes;
  const std::vector<std::string> settings{string_key("general.architecture", "llama"),
                                          integer_key("llama.block_count", 2), boolean_key("flag", true),
                                          floats_key("floats", {0.5F, 2.F})};
  write(to / "tensors", file_of(settings, {entry("a", {4, 2}, 0, 0), entry("b", {32}, 8, 32)}, 66));
  const std::vector<std::string> tokens{"<unk>", "<s>", "</s>", "\u2581", "\u2581H", "e",
                                        "l",     "o",   "el",   "lo",     "<0x0A>"};
  write(to / "spm", file_of({string_key("tokenizer.ggml.model", "llama"), strings_key("tokenizer.ggml.tokens", tokens),
                             floats_key("tokenizer.ggml.scores", std::vector<float>(tokens.size(), -1.F)),
                             integers_key("tokenizer.ggml.token_type", {2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 6}),
                             integer_key("tokenizer.ggml.bos_token_id", 1)},
                            {}));
  write(to / "bpe",
        file_of({string_key("tokenizer.ggml.model", "gpt2"), string_key("tokenizer.ggml.pre", "llama-bpe"),
                 strings_key("tokenizer.ggml.tokens", {"H", "e", "l", "o", "\u0120", "el", "lo", "<|end|>"}),
                 strings_key("tokenizer.ggml.merges", {"e l", "l o"}),
                 integers_key("tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 1, 1, 3})},
                {}));
}

void write_tokenizer_seeds(const fs::path& to) {
  write(to / "wordpiece",
        tokenizer_json_of({"[UNK]", "[CLS]", "[SEP]", "hello", "##o", "h", "##e", "##l", "1"}).dump());
}

/// <own>/<target>.list: the seeds of each target, both written and kept, as libFuzzer takes a list.
void write_lists(const fs::path& kept, const fs::path& own) {
  std::map<std::string, std::vector<std::string>> seeds;
  for (const fs::path& root : {kept, own})
    for (const fs::directory_entry& target : fs::directory_iterator(root)) {
      if (!target.is_directory()) continue;
      std::vector<std::string>& files = seeds[target.path().filename()];
      for (const fs::directory_entry& file : fs::directory_iterator(target)) files.push_back(file.path());
    }
  for (auto& [target, files] : seeds) {
    std::sort(files.begin(), files.end());
    write(own / (target + ".list"), joined(files, ","));
  }
}

}  // namespace
}  // namespace graft

int main(int count, char** arguments) {
  if (count != 3) return std::fprintf(stderr, "usage: fuzz_seeds KEPT OWN\n"), 2;
  const std::filesystem::path kept = arguments[1], own = arguments[2];
  graft::write_safetensors_seeds(own / "safetensors");
  graft::write_gguf_seeds(own / "gguf");
  graft::write_tokenizer_seeds(own / "tokenizer");
  const TemporaryDirectory folder;
  graft::write(own / "store" / "sound", graft::fuzzing::sound_store(folder / "sound.db"));
  graft::write_lists(kept, own);
}
