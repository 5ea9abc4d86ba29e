#include <nlohmann/json.hpp>

#include "fuzz/fuzz.hpp"
#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/io/adapter_dir.hpp"
#include "graft/io/model_dir.hpp"
#include "graft/models/detail/sentence_config.hpp"
#include "graft/rag/detail/cross_encoder_config.hpp"

namespace graft::fuzzing::configs {

namespace {

void fuzz_adapter(std::string_view text) {
  const AdapterConfig config = parse_adapter_config(parse_json(text, "input"), "input");
  const AdapterConfig again = must("a config that was read cannot be written", [&] {
    return parse_adapter_config(parse_json(json_text(adapter_config_json(config)), "written"), "written");
  });
  check(again == config, "an adapter's config is another one after writing");
}

/// config.json, model.safetensors.index.json beside a shard that holds "a" and "b".
void fuzz_model(std::string_view config, std::string_view index) {
  static const std::filesystem::path directory = [] {
    const std::filesystem::path made = folder() / "model";
    std::filesystem::create_directory(made);
    const std::byte bytes[8] = {};
    const std::vector<TensorBytes> tensors{{"a", ElementType::F32, {2}, bytes}, {"b", ElementType::U8, {8}, bytes}};
    write_safetensors(made / "shard.safetensors", tensors);
    return made;
  }();
  file_of(config, "model/config.json");
  file_of(index, "model/model.safetensors.index.json");
  const ModelDir model(directory);
  std::vector<std::byte> bytes(8);
  for (const TensorInfo& tensor : model.tensors()) model.read(tensor, bytes);
}

/// The files of a sentence-transformers directory: each is one part of the input.
void fuzz_sentence(std::string_view input) {
  for (const char* name : {"sentence/modules.json", "sentence/config_sentence_transformers.json",
                           "sentence/sentence_bert_config.json", "sentence/1_Pooling/config.json"}) {
    std::filesystem::create_directories((folder() / name).parent_path());
    if (const std::string_view part = cut(input); !part.empty())
      file_of(part, name);
    else
      std::filesystem::remove(folder() / name);
  }
  detail::SentenceConfig::read(folder() / "sentence");
}

/// The same of a cross-encoder's directory.
void fuzz_cross_encoder(std::string_view input) {
  for (const char* name : {"scorer/modules.json", "scorer/config_sentence_transformers.json",
                           "scorer/sentence_bert_config.json", "scorer/config.json", "scorer/tokenizer_config.json"}) {
    std::filesystem::create_directories((folder() / name).parent_path());
    if (const std::string_view part = cut(input); !part.empty())
      file_of(part, name);
    else
      std::filesystem::remove(folder() / name);
  }
  detail::CrossEncoderConfig::read(folder() / "scorer");
}

}  // namespace

/// A byte that says what follows: adapter_config.json, a model's config and index, or the files of a sentence encoder
/// or a cross-encoder, with NUL between files.
void fuzz(std::string_view input) {
  const unsigned byte = cut_byte(input), choice = byte % 4;
  if (byte % 8 == 7) return fuzz_cross_encoder(input);
  if (choice <= 1) return fuzz_adapter(input);
  if (choice == 3) return fuzz_sentence(input);
  const std::string_view config = cut(input);
  fuzz_model(config, input);
}

}  // namespace graft::fuzzing::configs
