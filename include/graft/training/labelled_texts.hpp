#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/training/metrics.hpp"
#include "graft/training/read_back.hpp"

namespace graft {

class Tokenizer;

/// A text and the name of its class.
struct LabelledText {
  std::string text, label;
  std::string where = {};  ///< file and line, for errors
};

/// The rows of a TSV, CSV or JSONL file. Throws as read_dataset() does.
std::vector<LabelledText> read_labelled(const std::filesystem::path& path, const std::string& text_column = "text",
                                        const std::string& label_column = "label");

/// The distinct labels: by value if all are whole numbers, else by name.
std::vector<std::string> distinct_labels(const std::vector<LabelledText>& rows);

/// What is odd about labelled rows, a sentence each. Faults cannot be meant: no labels, blank ones, fewer than two,
/// labels that differ by blanks around them alone. Notes may be: labels that differ by case alone, a class of one row,
/// a text that stands under two labels, a blank text.
struct LabelFindings {
  std::vector<std::string> faults, notes;

  /// Throws FormatError that lists all faults of the file called `where`.
  void check(const std::string& where) const;
};
LabelFindings look_at_labels(const std::vector<LabelledText>& rows);

/// Encoded texts and their classes: data to train a classifier on (a DataSource) and to judge it by.
class LabelledTexts {
 public:
  struct Batch {
    PackedBatch tokens;
    torch::Tensor labels;  ///< [N] int64: places in labels()
  };

  /// `labels` names the classes in the model's order; texts are cut to `max_length` tokens.
  /// Throws FormatError for a row whose label is none of them, and as Tokenizer::encode_batch() does.
  LabelledTexts(const std::vector<LabelledText>& rows, std::vector<std::string> labels, const Tokenizer& tokenizer,
                std::size_t max_length = 128);

  std::int64_t size() const { return static_cast<std::int64_t>(ids_.size()); }
  std::int64_t length(std::int64_t row) const { return static_cast<std::int64_t>(ids(row).size()); }
  const std::vector<std::int32_t>& ids(std::int64_t row) const { return ids_[static_cast<std::size_t>(row)]; }
  const std::vector<std::string>& labels() const { return labels_; }
  const std::vector<std::int64_t>& classes() const { return classes_; }  ///< of each row, a place in labels()

  Batch batch(std::span<const std::int64_t> rows) const;

  /// Texts of more than `max_length` tokens, of which the rest is not seen.
  std::int64_t cut() const { return cut_; }

  /// Of texts and labels, in their order: names the data that an adapter was trained on.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  std::vector<std::string> labels_;
  std::vector<std::vector<std::int32_t>> ids_;
  std::vector<std::int64_t> classes_;
  std::string fingerprint_;
  std::int64_t cut_ = 0;
};

/// What a classifier takes each text for. `logits_of(batch)` gives [N, classes]; `module` is in evaluation mode
/// meanwhile, and there are no gradients. Texts of like length go together, `batch_size` at a time.
ConfusionMatrix judge(torch::nn::Module& module, const std::function<torch::Tensor(const PackedBatch&)>& logits_of,
                      const LabelledTexts& texts, std::int64_t batch_size = 64);

/// The same for a model's holder: model(batch) are the logits.
template <class Model>
ConfusionMatrix judge(Model& model, const LabelledTexts& texts, std::int64_t batch_size = 64) {
  return judge(
      *model, [&](const PackedBatch& batch) { return model(batch); }, texts, batch_size);
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/labelled_texts-inl.hpp"
#endif
