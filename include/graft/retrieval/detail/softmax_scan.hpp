#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "graft/core/detail/aligned.hpp"
#include "graft/retrieval/detail/exact_scan.hpp"
#include "graft/retrieval/detail/softmax.hpp"

namespace graft::detail {

/// `count` rows up to a multiple of kPanel: so many a kernel may read.
inline std::size_t padded_rows(std::size_t count) { return (count + kPanel - 1) / kPanel * kPanel; }

/// Scores of `count` questions, `stride` apart, with the kPanel rows from `row` on: scores[q * kPanel + r].
inline void score_panel(const float* questions, std::size_t count, std::size_t stride, const float* row,
                        float* scores) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  constexpr float least[kTileQueries] = {kNone, kNone, kNone, kNone, kNone, kNone};
  std::uint32_t found[kTileQueries];
  const float* rows[kPanel + 4];
  for (std::size_t r = 0; r < kPanel + 4; ++r) rows[r] = row + std::min<std::size_t>(r, kPanel - 1) * stride;
  for (std::size_t q = 0; q < count; q += kTileQueries)
    dot_kernels().inner(questions + q * stride, std::min<std::size_t>(kTileQueries, count - q), stride, rows, stride,
                        least, scores + q * kPanel, found);
}

/// What some questions make of some rows: the largest logit, and over the rows the sums of e^(logit - largest), plain
/// and times the row.
struct SoftmaxSums {
  std::vector<float> most;
  std::vector<double> total;
  LineVector<float> rows;  // [questions, stride]

  void start(std::size_t questions, std::size_t stride) {
    most.assign(questions, -std::numeric_limits<float>::infinity());
    total.assign(questions, 0);
    rows.assign(questions * stride, 0);
  }

  void scale(std::size_t q, std::size_t stride, double factor) {
    total[q] *= factor;
    for (std::size_t i = 0; i < stride; ++i) rows[q * stride + i] *= static_cast<float>(factor);
  }

  void add(SoftmaxSums& other, std::size_t stride) {
    for (std::size_t q = 0; q < most.size(); ++q) {
      if (other.total[q] == 0) continue;
      if (other.most[q] > most[q]) {
        scale(q, stride, std::exp(static_cast<double>(most[q]) - other.most[q]));
        most[q] = other.most[q];
      }
      const double factor = std::exp(static_cast<double>(other.most[q]) - most[q]);
      total[q] += factor * other.total[q];
      for (std::size_t i = 0; i < stride; ++i)
        rows[q * stride + i] += static_cast<float>(factor) * other.rows[q * stride + i];
    }
  }
};

/// Rows that a softmax runs over, `stride` apart and padded with zeros to padded_rows(count).
struct SoftmaxRows {
  const float* data = nullptr;
  std::size_t count = 0;
  std::size_t stride = 0;
  const float* bias = nullptr;  // [padded_rows(count)], added to the logits; null: none
};

/// Runs over rows [begin, end), begin a multiple of kPanel. `questions` [Q, stride]: a logit is a plain inner product.
/// masked[q] are rows that have no part for question q, sorted.
inline void softmax_scan(const SoftmaxRows& rows, std::span<const float> questions,
                         std::span<const std::span<const std::uint32_t>> masked, std::size_t begin, std::size_t end,
                         SoftmaxSums& out) {
  constexpr std::size_t kPanels = 4;  // their rows and weights fit the first-level cache, 64 numbers of each at a time
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const std::size_t count = masked.size(), step = count * kPanel;
  const SoftmaxKernels& kernels = softmax_kernels();
  LineVector<float> scores(kPanels * step);
  for (std::size_t first = begin; first < end; first += kPanels * kPanel) {
    const std::size_t panels = (std::min(kPanels * kPanel, end - first) + kPanel - 1) / kPanel;
    for (std::size_t p = 0; p < panels; ++p) {
      float* const panel = scores.data() + p * step;
      const std::size_t row = first + p * kPanel;
      score_panel(questions.data(), count, rows.stride, rows.data + row * rows.stride, panel);
      for (std::size_t q = 0; rows.bias && q < count; ++q)
        for (std::size_t r = 0; r < kPanel; ++r) panel[q * kPanel + r] += rows.bias[row + r];
      for (std::size_t r = std::min<std::size_t>(kPanel, end - row); r < kPanel; ++r)
        for (std::size_t q = 0; q < count; ++q) panel[q * kPanel + r] = kNone;
    }
    for (std::size_t q = 0; q < count; ++q) {
      float* const of_question = scores.data() + q * kPanel;
      const auto at = [&](std::size_t row) -> float& {
        return of_question[(row - first) / kPanel * step + (row - first) % kPanel];
      };
      for (auto i = std::lower_bound(masked[q].begin(), masked[q].end(), first);
           i != masked[q].end() && *i < std::min(end, first + panels * kPanel); ++i)
        at(*i) = kNone;
      const float most = kernels.largest(of_question, step, panels);
      if (most == kNone) {  // nothing is left: no weight
        for (std::size_t row = first; row < first + panels * kPanel; ++row) at(row) = 0;
        continue;
      }
      if (most > out.most[q]) {
        if (out.total[q] > 0) out.scale(q, rows.stride, std::exp(static_cast<double>(out.most[q]) - most));
        out.most[q] = most;
      }
      out.total[q] += kernels.exponentials(of_question, step, panels, out.most[q]);
    }
    kernels.add_rows(scores.data(), step, panels, count, rows.data + first * rows.stride, rows.stride, out.rows.data());
  }
}

/// Runs over all rows. The result does not depend on the number of threads: parts are cut and joined by number.
inline void softmax_sums(const SoftmaxRows& rows, std::span<const float> questions,
                         std::span<const std::span<const std::uint32_t>> masked, unsigned threads,
                         std::vector<SoftmaxSums>& parts) {
  constexpr std::size_t kLeast = 1024, kMost = 64;
  const std::size_t share = std::max(kLeast, padded_rows((rows.count + kMost - 1) / kMost));
  parts.resize(std::max<std::size_t>(1, (rows.count + share - 1) / share));
  std::atomic<std::size_t> next = 0;
  const std::size_t useful = useful_threads(threads, rows.count * rows.stride * masked.size());
  on_threads(std::min(useful, parts.size()), [&](std::size_t) {
    for (std::size_t part = next++; part < parts.size(); part = next++) {
      parts[part].start(masked.size(), rows.stride);
      softmax_scan(rows, questions, masked, part * share, std::min(rows.count, (part + 1) * share), parts[part]);
    }
  });
  for (std::size_t part = 1; part < parts.size(); ++part) parts[0].add(parts[part], rows.stride);
}

}  // namespace graft::detail
