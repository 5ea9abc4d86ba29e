// lm_finetune export: what was learned, for other programs.

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "graft/adapters/attach.hpp"
#include "graft/core/error.hpp"
#include "graft/core/output.hpp"
#include "graft/models/gguf_adapter.hpp"
#include "graft/models/language_model.hpp"
#include "graft/models/save.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/training/read_back.hpp"
#include "language.hpp"
#include "options.hpp"

namespace {

/// Logits for a few tokens, whatever they mean.
torch::Tensor probe(graft::CausalLM& model) {
  const std::int64_t size = std::min<std::int64_t>(16, model->config().max_position_embeddings);
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < size; ++i) ids.push_back(static_cast<std::int32_t>(i * 37 % model->config().vocab_size));
  const std::vector<std::vector<std::int32_t>> rows{ids};
  return graft::detail::evaluated(*model, [&] { return model(graft::pack(rows)); });
}

void write_gguf_adapter(const ExportOptions& options, graft::CausalLM& model) {
  graft::save_gguf_adapter(options.gguf, model);
  graft::CausalLM again = graft::load_language_model(options.language.model).model;
  graft::load_gguf_adapter(options.gguf, again);
  graft::check_read_back(probe(model), probe(again), options.gguf);
  std::printf("written: %s; read back, it gives the same logits\n  llama-server --model MODEL.gguf --lora %s\n",
              options.gguf.c_str(), options.gguf.c_str());
}

void write_merged(const ExportOptions& options, graft::CausalLM& model) {
  const torch::Tensor before = probe(model);
  graft::merge(*model);
  graft::save_pretrained(options.merge, model,
                         {.tokenizer_from = options.language.model, .replace = options.overwrite});
  graft::CausalLM again = graft::load_language_model(options.merge).model;
  graft::check_read_back(before, probe(again), options.merge);
  std::printf("written: %s; read back, it gives the same logits\n", options.merge.c_str());
}

}  // namespace

int run_export(const ExportOptions& options) {
  const LanguageOptions& language = options.language;
  if (language.adapter.empty()) throw graft::OptionError("--adapter is needed: what was learned is there");
  if (options.gguf.empty() && options.merge.empty())
    throw graft::OptionError("nothing would come of this; give --gguf FILE, --merge DIR or both");
  for (const std::string& out : {options.gguf, options.merge})
    graft::check_output_apart(out, {language.model, language.adapter});
  graft::check_output_apart(options.gguf, {options.merge});
  if (!options.merge.empty()) graft::OutputDirectory(options.merge, options.overwrite);
  if (!options.gguf.empty() && graft::path_exists(options.gguf))
    throw graft::OptionError(graft::message(graft::quoted(options.gguf), " is there already; name another file"));
  graft::CausalLM model = load_language(language).model;
  if (!options.gguf.empty()) write_gguf_adapter(options, model);
  if (!options.merge.empty()) write_merged(options, model);
  return 0;
}
