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

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/core/mode.hpp"
#include "graft/models/encoder.hpp"
#include "graft/retrieval/document.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

struct SentenceEncoderOptions {
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat32;
  std::optional<std::size_t> max_tokens = {};  ///< instead of the directory's own limit
};

/// The modules of a sentence-transformers directory as one, with gradients: a BERT, RoBERTa or MPNet encoder, one or
/// more ways of pooling, then any of Dense, LayerNorm and Normalize. An Embedder is this at rest.
///
///     SentenceEncoder encoder("all-MiniLM-L6-v2");
///     attach(encoder->encoder(), LoraOptions{.rank = 32, .alpha = 64}, AllLinear{});
///     const torch::Tensor vectors = encoder(pack(encoder->encode(texts)));  // [N, width]
///
/// The directory may have the layout of any version. Read are modules.json, config_sentence_transformers.json (prompts,
/// similarity_fn_name, truncate_dim), sentence_bert_config.json (max_seq_length), the modules' config.json and
/// safetensors, and the encoder's own files. A module or setting that graft does not have is an error that names it.
///
/// Every weight requires a gradient but the pooler's, which nothing reads. It is loaded in evaluation mode.
/// Threads: in evaluation mode every member may run on many at once, while nothing changes the weights.
class SentenceEncoderImpl : public torch::nn::Module {
 public:
  /// Throws FileError and FormatError as load_pretrained() and Tokenizer::load() do, FormatError for what the other
  /// files of the directory hold, OptionError for max_tokens that leave no room for a token beside the special ones and
  /// the prompts, or exceed what the encoder takes.
  explicit SentenceEncoderImpl(const std::filesystem::path& directory, const SentenceEncoderOptions& options = {});
  GRAFT_INLINE ~SentenceEncoderImpl() override;

  /// Vectors [N, width()] of a batch's N texts. So many tokens at the front of each are a prompt, which some
  /// directories do not pool.
  torch::Tensor forward(const PackedBatch& batch, std::int64_t prompt_tokens = 0);

  /// Vectors [N, width()] of texts under a prompt, float32 on the CPU, without gradients: sorted by length, so many
  /// tokens at a time or one longer text. What is beyond max_tokens() is cut off. `progress` is called after each batch
  /// with the texts and tokens in it, special ones included. It is to be in evaluation mode.
  torch::Tensor embed(std::span<const std::string> texts, std::string_view prompt = "",
                      std::int64_t batch_tokens = 4096,
                      const std::function<void(std::int64_t texts, std::int64_t tokens)>& progress = {});

  /// What adapters are put on: its layers have the names of the encoder's own files, and of PEFT's.
  EncoderModel& encoder();

  /// Ids of texts under a prompt, special tokens with them; what is beyond max_tokens(), or fewer, is cut off. Throws
  /// OptionError if that leaves no room for a text.
  std::vector<std::vector<std::int32_t>> encode(std::span<const std::string> texts, std::string_view prompt = "",
                                                std::size_t max_tokens = SIZE_MAX) const;

  /// Tokens of a prompt with the special ones that stand in front of a text's tokens too; 0 for no prompt.
  std::int64_t prompt_tokens(std::string_view prompt) const;

  const Tokenizer& tokenizer() const { return tokenizer_; }
  std::int64_t width() const { return width_; }
  std::size_t max_tokens() const { return max_tokens_; }  ///< of a text with its prompt and the special tokens
  Metric metric() const;

  /// What the directory says to put before texts, by name.
  const std::map<std::string, std::string>& prompts() const;
  std::string query_prompt() const;     ///< "query", else nothing
  std::string document_prompt() const;  ///< the first there is of "document", "passage" and "corpus", else nothing

  /// Tells directories apart by all that changes the vectors of documents: weights as they were loaded, vocabulary,
  /// modules, document prompt, max_tokens(); not by device, dtype, the query prompt or the directory's name.
  const std::string& fingerprint() const { return fingerprint_; }

  /// Writes a directory that sentence-transformers and graft open, with these weights in float32 and all other files as
  /// they were where this one was loaded, which must still be there. It appears whole or not at all; what may be there
  /// already OutputDirectory says. Merged adapters are part of the weights. Throws StateError if adapters are active
  /// that are not merged, OptionError as OutputDirectory does, FileError where the system refuses.
  void save(const std::filesystem::path& directory, bool replace = false) const;

 private:
  struct Parts;

  void check_room(std::string_view prompt, std::size_t max_tokens) const;
  std::string digest(const std::filesystem::path& directory) const;

  std::filesystem::path directory_;
  std::unique_ptr<Parts> parts_;
  Tokenizer tokenizer_;
  std::size_t max_tokens_ = 0;
  std::int64_t width_ = 0;
  std::string fingerprint_;
};
TORCH_MODULE(SentenceEncoder);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/sentence_encoder-inl.hpp"
#endif
