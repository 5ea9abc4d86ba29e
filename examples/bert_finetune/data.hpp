#pragma once

// Labelled texts: from a file to batches.

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/io/dataset.hpp"
#include "graft/tensor/fingerprint.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/text/tokenizer.hpp"

struct LabelledText {
  std::string text, label;
  std::uint64_t line = 0;
};

inline std::vector<LabelledText> read_labelled(const std::filesystem::path& path, const std::string& text_column,
                                               const std::string& label_column) {
  std::vector<LabelledText> rows;
  for (graft::DatasetRow& row : graft::read_dataset(path, {text_column, label_column}).rows) {
    rows.push_back({std::move(row.values[0]), std::move(row.values[1]), row.line});
  }
  return rows;
}

/// The distinct labels: by value if all are whole numbers, else by name.
inline std::vector<std::string> distinct_labels(const std::vector<LabelledText>& rows) {
  std::set<std::string> names;
  for (const LabelledText& row : rows) names.insert(row.label);
  std::vector<std::string> labels(names.begin(), names.end());
  const auto value = [](const std::string& label) {
    long long number = 0;
    const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), number);
    return error == std::errc() && end == label.data() + label.size() ? std::optional(number) : std::nullopt;
  };
  if (std::all_of(labels.begin(), labels.end(), [&](const std::string& label) { return value(label).has_value(); })) {
    std::sort(labels.begin(), labels.end(), [&](const auto& a, const auto& b) { return *value(a) < *value(b); });
  }
  return labels;
}

/// Encoded texts and their classes: what graft::Trainer calls a DataSource.
class Examples {
 public:
  struct Batch {
    graft::PackedBatch tokens;
    torch::Tensor labels;  // [N] int64
  };

  /// `path` is for messages: the file that `rows` came from.
  Examples(const std::vector<LabelledText>& rows, const std::vector<std::string>& labels,
           const graft::Tokenizer& tokenizer, std::size_t max_length, const std::filesystem::path& path) {
    std::vector<std::string_view> texts;
    for (const LabelledText& row : rows) {
      const auto found = std::find(labels.begin(), labels.end(), row.label);
      if (found == labels.end()) {
        throw graft::FormatError(graft::message(path.string(), ", line ", row.line, ": label ",
                                                graft::quoted(row.label), " does not occur in the training data"));
      }
      labels_.push_back(found - labels.begin());
      texts.push_back(row.text);
      fingerprint_ = graft::hex(graft::fingerprint(fingerprint_ + row.text + '\t' + row.label));
    }
    for (graft::Encoding& encoding : tokenizer.encode_batch(texts, {.max_length = max_length})) {
      ids_.push_back(std::move(encoding.ids));
    }
  }

  std::int64_t size() const { return static_cast<std::int64_t>(ids_.size()); }
  std::int64_t length(std::int64_t row) const { return static_cast<std::int64_t>(ids_[row].size()); }
  const std::vector<std::int64_t>& labels() const { return labels_; }
  const std::string& fingerprint() const { return fingerprint_; }  ///< of texts and labels, in their order
  const std::vector<std::int32_t>& ids(std::int64_t row) const { return ids_[row]; }

  Batch batch(std::span<const std::int64_t> rows) const {
    std::vector<std::vector<std::int32_t>> ids;
    std::vector<std::int64_t> labels;
    for (const std::int64_t row : rows) {
      ids.push_back(ids_[row]);
      labels.push_back(labels_[row]);
    }
    return {graft::pack(ids), torch::tensor(labels)};
  }

  /// Row numbers, the shortest text first.
  std::vector<std::int64_t> by_length() const {
    std::vector<std::int64_t> rows(ids_.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::stable_sort(rows.begin(), rows.end(), [&](auto a, auto b) { return length(a) < length(b); });
    return rows;
  }

 private:
  std::vector<std::vector<std::int32_t>> ids_;
  std::vector<std::int64_t> labels_;
  std::string fingerprint_;
};
