#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <torch/types.h>

#include "graft/models/detail/causal_config_fields.hpp"
#include "graft/models/detail/config_fields.hpp"
#include "graft/models/detail/gguf_names.hpp"
#include "graft/models/gguf.hpp"

namespace graft {
namespace detail {

inline constexpr std::string_view gguf_turns = "rope_freqs.weight";

/// Llama 3's stretch, from the numbers that its files divide the turns of the pairs by. They do not say what they were
/// made from: that is what Llama 3.1 and all after it have, or an error.
GRAFT_INLINE Llama3Stretch gguf_stretch(const GgufFile& file, const CausalConfig& config) {
  const GgufTensor& tensor = file.tensor(gguf_turns);
  const auto fail = [&](const std::string& fault) {
    throw FormatError(message(file.path().string(), ": tensor ", quoted(gguf_turns), " ", fault));
  };
  if (tensor.shape != std::vector<std::int64_t>{config.head_dim / 2})
    fail(message("must have ", config.head_dim / 2, " numbers, one for each pair of a head"));
  torch::Tensor divisors = torch::empty({config.head_dim / 2}, torch::kFloat32);
  file.read_float32(tensor, {divisors.mutable_data_ptr<float>(), static_cast<std::size_t>(divisors.numel())});
  RotaryOptions stretched = config.rope;
  stretched.llama3 = Llama3Stretch{.factor = divisors[-1].item<double>()};
  const torch::Tensor expected =
      rotary_frequencies(config.head_dim, config.rope) / rotary_frequencies(config.head_dim, stretched);
  if (!torch::allclose(divisors, expected, /*rtol=*/1e-4, /*atol=*/0.0))
    fail("is not what Llama 3 stretches its turns by; graft has no other");
  return *stretched.llama3;
}

/// A GGUF file's tensors as Hugging Face's float32 files would have them.
class GgufTensors {
 public:
  GgufTensors(const GgufFile& file, const CausalConfig& config) : file_(file), config_(config) {
    for (const GgufTensor& tensor : file.tensors()) {
      if (tensor.name == gguf_turns && config.rope.llama3) continue;  // read already
      stored_.push_back(&tensor);
      tensors_.push_back({.name = name_of_gguf(tensor.name, config.family()),
                          .type = ElementType::F32,
                          .shape = tensor.shape,
                          .begin = 0,
                          .end = tensor.values() * sizeof(float)});
    }
  }

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  void read(const TensorInfo& info, std::span<std::byte> bytes) const {
    const auto found = std::ranges::find(tensors_, info.name, &TensorInfo::name);
    const GgufTensor& tensor = *stored_[static_cast<std::size_t>(found - tensors_.begin())];
    const std::span<float> values(reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float));
    file_.read_float32(tensor, values);
    const CausalFamily& family = config_.family();
    if (family.norm_offset != 0.0 && tensor.name.ends_with("norm.weight"))
      for (float& value : values) value -= static_cast<float>(family.norm_offset);
    if (!family.gguf_neighbours || info.shape.empty()) return;
    if (tensor.name.find(".attn_q.") != std::string::npos)
      put_halves_together(info, values, config_.num_attention_heads);
    if (tensor.name.find(".attn_k.") != std::string::npos)
      put_halves_together(info, values, config_.num_key_value_heads);
  }

 private:
  /// llama files turn neighbouring rows of a head, Hugging Face's row i and row i + d / 2.
  static void put_halves_together(const TensorInfo& info, std::span<float> values, std::int64_t heads) {
    const auto size = static_cast<std::size_t>(info.shape[0] / heads);
    if (size == 0 || info.shape[0] % heads != 0 || size % 2 != 0) return;  // no such shape is ever loaded
    const std::size_t row = values.size() / static_cast<std::size_t>(info.shape[0]);
    const std::vector<float> stored(values.begin(), values.end());
    for (std::size_t h = 0; h < static_cast<std::size_t>(heads); ++h)
      for (std::size_t i = 0; i < size; ++i)
        std::copy_n(stored.begin() + static_cast<std::ptrdiff_t>((h * size + i) * row), row,
                    values.begin() + static_cast<std::ptrdiff_t>((h * size + i % 2 * (size / 2) + i / 2) * row));
  }

  const GgufFile& file_;
  const CausalConfig& config_;
  std::vector<const GgufTensor*> stored_;  // for each of tensors_
  std::vector<TensorInfo> tensors_;
};

}  // namespace detail

GRAFT_INLINE CausalConfig gguf_config(const GgufFile& file) {
  const GgufMetadata& data = file.metadata();
  const CausalFamily* row = detail::find_causal_family(&CausalFamily::gguf, data.text("general.architecture"));
  if (row == nullptr) data.fail("general.architecture", detail::causal_families_by(&CausalFamily::gguf, true));
  CausalConfig config;
  config.model_type = row->model_type;
  const std::string in = message(row->gguf, ".");
  constexpr std::int64_t million = std::int64_t{1} << 20;
  config.num_hidden_layers = data.integer(in + "block_count", 1, 1024);
  config.max_position_embeddings = data.integer(in + "context_length", 1, std::int64_t{1} << 22);
  config.hidden_size = data.integer(in + "embedding_length", 1, million);
  config.intermediate_size = data.integer(in + "feed_forward_length", 1, million);
  config.num_attention_heads = data.integer(in + "attention.head_count", 1, million);
  config.num_key_value_heads = data.integer(in + "attention.head_count_kv", 1, million, config.num_attention_heads);
  config.head_dim = data.integer(in + "attention.key_length", 1, million,
                                 std::max<std::int64_t>(config.hidden_size / config.num_attention_heads, 1));
  if (data.integer(in + "attention.value_length", 1, million, config.head_dim) != config.head_dim)
    data.fail(in + "attention.value_length", message("that of keys, ", config.head_dim));
  const bool turns = row->layers == CausalFamily::Layers::llama;
  if (turns && data.integer(in + "rope.dimension_count", 1, million, config.head_dim) != config.head_dim)
    data.fail(in + "rope.dimension_count", message(config.head_dim, "; graft turns whole heads"));
  config.norm_eps = data.number(in + std::string(row->gguf_eps), 0, 1);
  config.hidden_act = row->hidden_act;
  config.rope.theta = data.number(in + "rope.freq_base", 1e-6, 1e15, row->theta);
  if (const std::string_view type = data.text(in + "rope.scaling.type", "none"); type == "linear") {
    config.rope.factor = data.number(in + "rope.scaling.factor", 1e-6, 1e6);
  } else if (type != "none") {
    data.fail(in + "rope.scaling.type", "\"none\" or \"linear\"; graft has no other in GGUF files");
  }
  if (file.find(detail::gguf_turns) != nullptr) config.rope.llama3 = detail::gguf_stretch(file, config);
  config.local_rope = row->local_rope ? RotaryOptions{} : config.rope;
  if (row->windows == CausalFamily::Windows::patterned && data.has(in + "attention.sliding_window")) {
    config.sliding_window = data.integer(in + "attention.sliding_window", 1, std::int64_t{1} << 30);
    config.windowed = detail::default_windows(*row, config.num_hidden_layers, 6, 0);
  }
  const auto has = [&](std::string_view name) { return file.find(name) != nullptr; };
  config.attention_bias = has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias");
  config.attention_output_bias = has("blk.0.attn_output.bias");
  config.mlp_bias = has("blk.0.ffn_down.bias");
  config.tie_word_embeddings = !has("output.weight");
  const GgufTensor& words = file.tensor("token_embd.weight");
  if (words.shape.size() != 2)
    throw FormatError(message(file.path().string(), ": tensor \"token_embd.weight\" has ", words.shape.size(),
                              " dimensions, but must have 2"));
  config.vocab_size = words.shape[0];
  const auto id = [&](const char* key) { return data.integer(key, 0, config.vocab_size - 1); };
  if (data.has("tokenizer.ggml.bos_token_id"))
    config.bos_token_id = static_cast<std::int32_t>(id("tokenizer.ggml.bos_token_id"));
  if (data.has("tokenizer.ggml.eos_token_id"))
    config.eos_token_ids = {static_cast<std::int32_t>(id("tokenizer.ggml.eos_token_id"))};
  detail::refuse_fault(detail::fault_of(config), file.path().string());
  return config;
}

GRAFT_INLINE Pretrained<CausalLM> load_gguf(const std::filesystem::path& path, const PretrainedOptions& options) {
  const GgufFile file(path);
  const CausalConfig config = gguf_config(file);
  const detail::GgufTensors tensors(file, config);
  WeightNames names = config.weight_names();
  names.transposed.clear();  // these files hold all weights as [out, in]
  return detail::load_from<CausalLM>(tensors, config, names, options);
}

}  // namespace graft
