#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/retrieval/chunker.hpp"
#include "graft/retrieval/document.hpp"
#include "graft/retrieval/ingest.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

namespace detail {
struct SentenceModel;
}

struct EmbedderOptions {
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat32;   ///< of weights and hidden states; vectors are float32 all the same
  std::optional<std::size_t> max_tokens = {};  ///< instead of the directory's own limit
  std::int64_t batch_tokens = 4096;            ///< tokens that go through the encoder at once, or one longer text

  /// Called after each batch with the texts and tokens in it, special ones included; by the thread that embeds.
  std::function<void(std::int64_t texts, std::int64_t tokens)> progress = {};
};

/// Texts to vectors, as a sentence-transformers directory says: a BERT, RoBERTa or MPNet encoder, one or more ways of
/// pooling, then any of Dense, LayerNorm and Normalize.
///
///     const Embedder embedder("all-MiniLM-L6-v2");
///     const torch::Tensor vectors = embedder.embed(texts);  // [N, width]
///
/// The vectors are those of sentence-transformers; texts are sorted by length and packed, so no padding is computed.
/// The directory may have the layout of any version. Read are modules.json, config_sentence_transformers.json (prompts,
/// similarity_fn_name, truncate_dim), sentence_bert_config.json (max_seq_length), the modules' config.json and
/// safetensors, and the encoder's own files. A module or setting that graft does not have is an error that names it.
/// No gradient is recorded. Threads: every member may run on many at once.
class Embedder {
 public:
  /// Throws FileError and FormatError as load_pretrained() and Tokenizer::load() do, FormatError for what the other
  /// files of the directory hold, OptionError for a batch without tokens, or for max_tokens that leave no room for a
  /// token beside the special ones and the prompts, or exceed what the encoder takes.
  explicit Embedder(const std::filesystem::path& directory, const EmbedderOptions& options = {});

  /// Vectors [N, width()] of `texts`, float32 on the CPU. `prompt` goes before each text. What is beyond max_tokens()
  /// is cut off. Throws OptionError for a prompt that leaves no room for a text.
  torch::Tensor embed(std::span<const std::string> texts, std::string_view prompt = "") const;

  /// embed() under document_prompt(), laid end to end.
  std::vector<float> documents(std::span<const std::string> texts) const;

  /// embed() of one text under query_prompt().
  std::vector<float> query(const std::string& text) const;

  std::int64_t width() const { return width_; }
  std::size_t max_tokens() const { return max_tokens_; }  ///< of a text with its prompt and the special tokens

  /// What the directory says to put before texts, by name.
  const std::map<std::string, std::string>& prompts() const;
  std::string query_prompt() const;     ///< "query", else nothing
  std::string document_prompt() const;  ///< the first there is of "document", "passage" and "corpus", else nothing

  /// Where the vectors live. Its `model` tells directories apart by all that changes the vectors of documents: weights,
  /// vocabulary, modules, document prompt, max_tokens(); not by device, dtype, the query prompt or the directory's
  /// name.
  const VectorSpace& space() const { return space_; }

  /// For ingest(): the space, and documents(). Refers to this object, which must outlive it.
  PassageModel passage_model() const;

  /// Tokens of a text, without special ones and prompt: for a Chunker. Refers to nothing: it keeps what it needs.
  LengthFunction length() const;

  /// The longest passage, by length(), that is not cut off.
  std::size_t passage_tokens() const;

 private:
  std::vector<std::vector<std::int32_t>> encode(std::span<const std::string> texts, std::string_view prompt) const;
  torch::Tensor forward(std::span<const std::vector<std::int32_t>> ids, std::int64_t prompt_tokens) const;
  std::size_t prompt_tokens(std::string_view prompt) const;

  EmbedderOptions options_;
  std::shared_ptr<detail::SentenceModel> model_;
  Tokenizer tokenizer_;
  std::size_t max_tokens_ = 0;
  std::int64_t width_ = 0;
  VectorSpace space_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/embedder-inl.hpp"
#endif
