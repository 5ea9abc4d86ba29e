#pragma once

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/trimmed.hpp"
#include "graft/io/dataset.hpp"
#include "graft/tensor/fingerprint.hpp"
#include "graft/text/tokenizer.hpp"
#include "graft/training/detail/mode_scope.hpp"
#include "graft/training/labelled_texts.hpp"

namespace graft {

GRAFT_INLINE std::vector<LabelledText> read_labelled(const std::filesystem::path& path, const std::string& text_column,
                                                     const std::string& label_column) {
  std::vector<LabelledText> rows;
  for (DatasetRow& row : read_dataset(path, {text_column, label_column}).rows) {
    rows.push_back({std::move(row.values[0]), std::move(row.values[1]), message(path.string(), ", line ", row.line)});
  }
  return rows;
}

GRAFT_INLINE std::vector<std::string> distinct_labels(const std::vector<LabelledText>& rows) {
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

GRAFT_INLINE void LabelFindings::check(const std::string& where) const {
  if (!faults.empty()) throw FormatError(message(where, ": ", joined(faults, "; ")));
}

GRAFT_INLINE LabelFindings look_at_labels(const std::vector<LabelledText>& rows) {
  LabelFindings findings;
  if (rows.empty()) {
    findings.faults.push_back("there are no rows");
    return findings;
  }
  const auto lower = [](std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
  };
  // Counts what is told of, and says where the first of it is.
  struct Found {
    std::int64_t count = 0;
    std::string first;
  };
  const auto meet = [](Found& found, const std::string& what) {
    if (found.count++ == 0) found.first = what;
  };
  Found blank_labels, blank_texts, two_labels;
  std::map<std::string, std::pair<std::int64_t, std::string>> classes;  // by label: rows, the first of them
  std::map<std::string_view, const LabelledText*> texts;
  for (const LabelledText& row : rows) {
    if (trimmed(row.label).empty()) meet(blank_labels, row.where);
    if (trimmed(row.text).empty()) meet(blank_texts, row.where);
    auto& [count, first] = classes[row.label];
    if (count++ == 0) first = row.where;
    const auto [other, added] = texts.try_emplace(row.text, &row);
    if (!added && other->second->label != row.label) {
      meet(two_labels, message(quoted(row.text, 60), " (", other->second->where, ": ", quoted(other->second->label),
                               "; ", row.where, ": ", quoted(row.label), ")"));
    }
  }
  const auto rows_of = [](std::int64_t count) { return message(count, count == 1 ? " row" : " rows"); };
  if (blank_labels.count > 0)
    findings.faults.push_back(message(rows_of(blank_labels.count), " without a label, the first ", blank_labels.first));
  if (classes.size() < 2)
    findings.faults.push_back(
        message("every row has the label ", quoted(classes.begin()->first), "; a classifier needs two or more"));
  std::map<std::string, std::string> by_letters, by_lower_case;  // the label first met
  for (const auto& [label, seen] : classes) {
    const std::string bare(trimmed(label));
    if (bare.empty()) continue;
    const auto [same, fresh] = by_letters.try_emplace(bare, label);
    if (!fresh) {
      findings.faults.push_back(message("the labels ", quoted(same->second), " and ", quoted(label), " (",
                                        rows_of(seen.first), ", the first ", seen.second, ") differ by blanks alone"));
      continue;
    }
    const auto [alike, new_case] = by_lower_case.try_emplace(lower(bare), label);
    if (!new_case) {
      findings.notes.push_back(message("the labels ", quoted(alike->second), " and ", quoted(label),
                                       " differ by case alone, and are two classes"));
    }
    if (seen.first == 1) findings.notes.push_back(message("the class ", quoted(label), " has one row, ", seen.second));
  }
  if (two_labels.count > 0)
    findings.notes.push_back(message(rows_of(two_labels.count), two_labels.count == 1 ? " repeats" : " repeat",
                                     " a text under another label, the first ", two_labels.first));
  if (blank_texts.count > 0)
    findings.notes.push_back(message(rows_of(blank_texts.count), " with a blank text, the first ", blank_texts.first));
  return findings;
}

GRAFT_INLINE LabelledTexts::LabelledTexts(const std::vector<LabelledText>& rows, std::vector<std::string> labels,
                                          const Tokenizer& tokenizer, std::size_t max_length)
    : labels_(std::move(labels)) {
  std::vector<std::string_view> texts;
  for (const LabelledText& row : rows) {
    const auto found = std::find(labels_.begin(), labels_.end(), row.label);
    if (found == labels_.end())
      throw FormatError(message(row.where, row.where.empty() ? "" : ": ", "label ", quoted(row.label),
                                " does not occur in the training data; correct it, or train on rows of it"));
    classes_.push_back(found - labels_.begin());
    texts.push_back(row.text);
    fingerprint_ = hex(graft::fingerprint(fingerprint_ + row.text + '\t' + row.label));
  }
  for (Encoding& encoding : tokenizer.encode_batch(texts, {.max_length = max_length})) {
    cut_ += encoding.cut > 0 ? 1 : 0;
    ids_.push_back(std::move(encoding.ids));
  }
}

GRAFT_INLINE LabelledTexts::Batch LabelledTexts::batch(std::span<const std::int64_t> rows) const {
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<std::int64_t> classes;
  for (const std::int64_t row : rows) {
    ids.push_back(this->ids(row));
    classes.push_back(classes_[static_cast<std::size_t>(row)]);
  }
  return {pack(ids), torch::tensor(classes, torch::kInt64)};
}

GRAFT_INLINE ConfusionMatrix judge(torch::nn::Module& module,
                                   const std::function<torch::Tensor(const PackedBatch&)>& logits_of,
                                   const LabelledTexts& texts, std::int64_t batch_size) {
  if (batch_size < 1) throw OptionError(message("the batch size is ", batch_size, "; it must be at least 1"));
  const torch::NoGradGuard no_grad;
  const detail::ModeScope modes(module);
  module.eval();
  std::vector<std::int64_t> rows(static_cast<std::size_t>(texts.size()));
  std::iota(rows.begin(), rows.end(), 0);
  std::stable_sort(rows.begin(), rows.end(), [&](auto a, auto b) { return texts.length(a) < texts.length(b); });
  ConfusionMatrix matrix(static_cast<std::int64_t>(texts.labels().size()));
  const auto step = static_cast<std::size_t>(batch_size);
  for (std::size_t first = 0; first < rows.size(); first += step) {
    const auto chosen = std::span(rows).subspan(first, std::min(step, rows.size() - first));
    const LabelledTexts::Batch batch = texts.batch(chosen);
    const torch::Tensor best = logits_of(batch.tokens).argmax(1).to(torch::kCPU).contiguous();
    matrix.add({batch.labels.const_data_ptr<std::int64_t>(), chosen.size()},
               {best.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(best.numel())});
  }
  return matrix;
}

}  // namespace graft
