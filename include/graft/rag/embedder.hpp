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

namespace graft {

class SentenceEncoderImpl;

struct EmbedderOptions {
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat32;   ///< of weights and hidden states; vectors are float32 all the same
  std::optional<std::size_t> max_tokens = {};  ///< instead of the directory's own limit
  std::int64_t batch_tokens = 4096;            ///< tokens that go through the encoder at once, or one longer text

  /// An adapter of the encoder, as save_adapter() or PEFT (FEATURE_EXTRACTION) writes it: it is merged into the
  /// weights.
  std::filesystem::path adapter = {};

  /// Called after each batch with the texts and tokens in it, special ones included; by the thread that embeds.
  std::function<void(std::int64_t texts, std::int64_t tokens)> progress = {};
};

/// Texts to vectors, as a sentence-transformers directory says: a BERT, RoBERTa or MPNet encoder, one or more ways of
/// pooling, then any of Dense, LayerNorm and Normalize.
///
///     const Embedder embedder("all-MiniLM-L6-v2");
///     const torch::Tensor vectors = embedder.embed(texts);  // [N, width]
///
/// The vectors are those of sentence-transformers; texts are sorted by length and packed, so no padding is computed. It
/// is a SentenceEncoder at rest, which says what of a directory is read. No gradient is recorded.
/// Threads: every member may run on many at once.
class Embedder {
 public:
  /// Throws as SentenceEncoder does, and as load_adapter() does for an adapter; OptionError for a batch without tokens.
  explicit Embedder(const std::filesystem::path& directory, const EmbedderOptions& options = {});

  /// Vectors [N, width()] of `texts`, float32 on the CPU. `prompt` goes before each text. What is beyond max_tokens()
  /// is cut off. Throws OptionError for a prompt that leaves no room for a text.
  torch::Tensor embed(std::span<const std::string> texts, std::string_view prompt = "") const;

  /// embed() under document_prompt(), laid end to end.
  std::vector<float> documents(std::span<const std::string> texts) const;

  /// embed() of one text under query_prompt().
  std::vector<float> query(const std::string& text) const;

  std::int64_t width() const { return space_.width; }
  std::size_t max_tokens() const;  ///< of a text with its prompt and the special tokens

  /// What the directory says to put before texts, by name.
  const std::map<std::string, std::string>& prompts() const;
  std::string query_prompt() const;     ///< "query", else nothing
  std::string document_prompt() const;  ///< the first there is of "document", "passage" and "corpus", else nothing

  /// Where the vectors live. Its `model` tells directories apart by all that changes the vectors of documents: weights,
  /// vocabulary, modules, document prompt, max_tokens(), adapter; not by device, dtype, the query prompt or the
  /// directory's name.
  const VectorSpace& space() const { return space_; }

  /// For ingest(): the space, and documents(). Refers to this object, which must outlive it.
  PassageModel passage_model() const;

  /// Tokens of a text, without special ones and prompt: for a Chunker. Refers to nothing: it keeps what it needs.
  LengthFunction length() const;

  /// The longest passage, by length(), that is not cut off.
  std::size_t passage_tokens() const;

 private:
  EmbedderOptions options_;
  std::shared_ptr<SentenceEncoderImpl> encoder_;
  VectorSpace space_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/embedder-inl.hpp"
#endif
