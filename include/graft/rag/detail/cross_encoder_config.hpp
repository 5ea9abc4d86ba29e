#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/models/detail/sentence_config.hpp"
#include "graft/retrieval/rerank_join.hpp"

namespace graft::detail {

/// Logit -> score.
enum class ScoreActivation { sigmoid, identity, tanh };

/// As sentence-transformers' files call them.
inline constexpr std::array<std::string_view, 3> score_activation_names{
    "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Tanh"};

/// What the JSON files of a cross-encoder's directory say, or of an encoder's that is to become one. Weights are not
/// looked at. The layouts, all of sentence-transformers: without modules.json a plain transformers directory whose
/// config.json may name the activation (`sentence_transformers.activation_fn` since version 4, before it
/// `sbert_ce_default_activation_function`); since version 6 modules.json and config_sentence_transformers.json.
struct CrossEncoderConfig {
  std::filesystem::path transformer;  ///< directory of config.json, weights and tokenizer
  bool gives_scores = false;          ///< false: an encoder without a head for them
  std::string family;                 ///< bert, roberta or mpnet
  ScoreActivation activation = ScoreActivation::sigmoid;
  std::string prompt;                          ///< goes before each question
  std::optional<std::size_t> max_tokens = {};  ///< as stated for this use
  std::optional<std::size_t> tokenizer_max_tokens = {};
  bool lower_case = false;
  RerankWeights rerank_weights = {};  ///< a note of graft's in the transformer's config.json

  /// Throws FileError for a file that is not there, FormatError naming file and field for what graft does not have.
  static CrossEncoderConfig read(const std::filesystem::path& directory);
};

class CrossEncoderConfigReader {
 public:
  explicit CrossEncoderConfigReader(const std::filesystem::path& directory) : directory_(directory) {
    config_.transformer = directory;
  }

  CrossEncoderConfig read() {
    const bool modules = std::filesystem::exists(directory_ / "modules.json");
    if (modules) read_modules();
    const std::filesystem::path path = config_.transformer / "config.json";
    const Json json = read_json(path);
    const JsonFields fields(json, path.native());
    config_.family = fields.text("model_type", "");
    if (config_.family != "bert" && config_.family != "roberta" && config_.family != "mpnet")
      fields.fail("model_type", "\"bert\", \"roberta\" or \"mpnet\"; graft has no cross-encoder of another type");
    if (!modules) read_plain(fields);
    if (fields.has("graft")) read_weights(fields.object("graft"));
    config_.tokenizer_max_tokens = tokenizer_limit(config_.transformer);
    return std::move(config_);
  }

 private:
  /// Since version 6; before, modules.json is an embedder's.
  void read_modules() {
    const std::filesystem::path path = directory_ / "config_sentence_transformers.json";
    const Json json = std::filesystem::exists(path) ? read_json(path) : Json::object();
    const JsonFields fields(json, path.native());
    if (fields.text("model_type", "SentenceTransformer") != "CrossEncoder") {
      const SentenceConfig encoder = SentenceConfig::read(directory_);
      config_.transformer = encoder.encoder;
      config_.max_tokens = encoder.max_tokens;
      config_.lower_case = encoder.lower_case;
      return;
    }
    config_.gives_scores = true;
    config_.transformer = only_module();
    read_use();
    if (fields.has("activation_fn")) config_.activation = activation_of(fields, "activation_fn");
    const std::string chosen = fields.text("default_prompt_name", "");
    if (!chosen.empty()) {
      const JsonFields prompts = fields.object("prompts");
      if (!prompts.has(chosen)) fields.fail("default_prompt_name", "a name of \"prompts\"");
      config_.prompt = prompts.text(chosen);
    }
  }

  std::filesystem::path only_module() const {
    const std::filesystem::path path = directory_ / "modules.json";
    const Json modules = read_json(path);
    if (!modules.is_array() || modules.size() != 1)
      throw FormatError(message(path.native(), ": is ", described(modules),
                                ", but must be an array of one Transformer; graft has no other cross-encoder"));
    const JsonFields module(modules[0], message(path.native(), ": module 0"));
    const std::string type = module.text("type");
    if (!type.starts_with("sentence_transformers.") || type.substr(type.rfind('.') + 1) != "Transformer")
      module.fail("type", "a sentence_transformers Transformer");
    refuse_unless_empty(module, "kwargs");
    const std::filesystem::path folder = module.text("path", "");
    if (folder.has_root_path() || std::find(folder.begin(), folder.end(), "..") != folder.end())
      module.fail("path", "a folder within the directory");
    return folder.empty() ? directory_ : directory_ / folder;
  }

  /// sentence_bert_config.json of version 6.
  void read_use() {
    const std::filesystem::path path = config_.transformer / "sentence_bert_config.json";
    if (!std::filesystem::exists(path)) return;
    const Json json = read_json(path);
    const JsonFields fields(json, path.native());
    refuse_others(fields, std::array<std::string_view, 7>{"max_seq_length", "do_lower_case", "transformer_task",
                                                          "modality_config", "module_output_name", "unpad_inputs",
                                                          "processing_kwargs"});
    refuse_unless_empty(fields, "processing_kwargs");
    if (fields.text("transformer_task", "sequence-classification") != "sequence-classification")
      fields.fail("transformer_task", "\"sequence-classification\"; graft has no other cross-encoder");
    if (fields.text("module_output_name", "scores") != "scores") fields.fail("module_output_name", "\"scores\"");
    static const Json plain = {{"text", {{"method", "forward"}, {"method_output_name", "logits"}}}};
    if (fields.has("modality_config") && fields.value("modality_config") != plain)
      fields.fail("modality_config", plain.dump() + ", which is all that graft has");
    if (fields.has("max_seq_length"))
      config_.max_tokens = static_cast<std::size_t>(fields.integer("max_seq_length", 1, std::int64_t{1} << 31));
    config_.lower_case = fields.boolean("do_lower_case", false);
  }

  /// A transformers directory: config.json says all.
  void read_plain(const JsonFields& fields) {
    for (const std::string& name : fields.texts_or_none("architectures"))
      config_.gives_scores = config_.gives_scores || name.ends_with("ForSequenceClassification");
    if (fields.has("sentence_transformers")) {
      const JsonFields own = fields.object("sentence_transformers");
      if (own.has("activation_fn")) {
        config_.activation = activation_of(own, "activation_fn");
        return;
      }
    }
    if (fields.has("sbert_ce_default_activation_function"))
      config_.activation = activation_of(fields, "sbert_ce_default_activation_function");
  }

  void read_weights(const JsonFields& own) {
    if (!own.has("rerank_weights")) return;
    const JsonFields weights = own.object("rerank_weights");
    constexpr double kMost = std::numeric_limits<double>::max();
    config_.rerank_weights = {weights.number("reranker", 0, kMost), weights.number("vector", 0, kMost),
                              weights.number("word", 0, kMost)};
    if (config_.rerank_weights.reranker == 0 && config_.rerank_weights.alone())
      own.fail("rerank_weights", "weights of which one is above 0");
  }

  /// "torch.nn.Sigmoid" is "torch.nn.modules.activation.Sigmoid".
  static ScoreActivation activation_of(const JsonFields& fields, std::string_view field) {
    const std::string name = fields.text(field);
    std::string all;
    for (std::size_t i = 0; i < score_activation_names.size(); ++i) {
      const std::string_view known = score_activation_names[i];
      if (name == known || name == message("torch.nn.", known.substr(known.rfind('.') + 1)))
        return static_cast<ScoreActivation>(i);
      all += (all.empty() ? "" : ", ") + quoted(known);
    }
    fields.fail(field, "one of " + all + "; graft has no other activation for scores");
  }

  std::filesystem::path directory_;
  CrossEncoderConfig config_;
};

inline CrossEncoderConfig CrossEncoderConfig::read(const std::filesystem::path& directory) {
  CrossEncoderConfigReader reader(directory);
  return reader.read();
}

}  // namespace graft::detail
