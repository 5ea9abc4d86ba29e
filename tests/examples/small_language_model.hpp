#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/io/safetensors.hpp"
#include "graft/text/gguf_tokenizer_files.hpp"

namespace graft {

/// Writes a Llama of two layers with random weights and the tokenizer of a GGUF file: what programs take long for with
/// a real model, they do with this one at once.
inline void write_small_language_model(const std::filesystem::path& directory, const std::string& gguf) {
  constexpr std::int64_t width = 32, inner = 64, words = 49152;
  std::filesystem::create_directories(directory);
  for (const auto& [name, text] : gguf_tokenizer_files(gguf)) write_file(directory / name, text);
  write_file(directory / "config.json", Json({{"architectures", {"LlamaForCausalLM"}},
                                              {"model_type", "llama"},
                                              {"vocab_size", words},
                                              {"hidden_size", width},
                                              {"intermediate_size", inner},
                                              {"num_hidden_layers", 2},
                                              {"num_attention_heads", 4},
                                              {"num_key_value_heads", 2},
                                              {"max_position_embeddings", 512},
                                              {"hidden_act", "silu"},
                                              {"rms_norm_eps", 1e-5},
                                              {"rope_theta", 10000.0},
                                              {"tie_word_embeddings", true},
                                              {"bos_token_id", 1},
                                              {"eos_token_id", 2},
                                              {"torch_dtype", "float32"}})
                                            .dump());
  std::map<std::string, std::vector<std::int64_t>> shapes{{"model.embed_tokens.weight", {words, width}},
                                                          {"model.norm.weight", {width}}};
  for (const char* layer : {"model.layers.0.", "model.layers.1."}) {
    const std::string at = layer;
    for (const char* norm : {"input_layernorm.weight", "post_attention_layernorm.weight"}) shapes[at + norm] = {width};
    for (const char* square : {"self_attn.q_proj.weight", "self_attn.o_proj.weight"})
      shapes[at + square] = {width, width};
    for (const char* narrow : {"self_attn.k_proj.weight", "self_attn.v_proj.weight"})
      shapes[at + narrow] = {width / 2, width};
    for (const char* up : {"mlp.gate_proj.weight", "mlp.up_proj.weight"}) shapes[at + up] = {inner, width};
    shapes[at + "mlp.down_proj.weight"] = {width, inner};
  }
  std::mt19937 draw(1);
  std::vector<std::vector<float>> values;
  std::vector<TensorBytes> tensors;
  values.reserve(shapes.size());
  for (const auto& [name, shape] : shapes) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    std::vector<float>& drawn = values.emplace_back(static_cast<std::size_t>(count), 1.F);  // norms are 1
    if (shape.size() == 2)
      for (float& value : drawn) value = (static_cast<float>(draw() >> 8) / 8388608.F - 1.F) * 0.2F;
    tensors.push_back({name, ElementType::F32, shape, std::as_bytes(std::span(drawn))});
  }
  write_safetensors(directory / "model.safetensors", tensors);
}

}  // namespace graft
