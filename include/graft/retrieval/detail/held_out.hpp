#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "graft/core/detail/aligned.hpp"
#include "graft/retrieval/detail/padded_vectors.hpp"
#include "graft/retrieval/detail/softmax_scan.hpp"

namespace graft::detail {

/// Questions that judge maps: searched among all answers, nDCG@10 of the documents found. Every right document counts
/// the same.
class HeldOut {
 public:
  /// `rows` [N, stride], padded, belong to documents[row], below `count`; each of `questions` is a row [stride] and its
  /// right documents, without repetition. What is given must outlive this.
  HeldOut(SoftmaxRows rows, std::span<const std::uint32_t> documents, std::size_t count,
          std::vector<std::pair<const float*, std::vector<std::uint32_t>>> questions, unsigned threads)
      : rows_(rows), documents_(documents), count_(count), questions_(std::move(questions)), threads_(threads) {}

  bool empty() const { return questions_.empty(); }

  /// For each of `shares` the nDCG@10 of each question by the map (1 - share) I + share W; `mapped` [questions, stride]
  /// are W x.
  std::vector<std::vector<double>> ndcg(const LineVector<float>& mapped, std::span<const double> shares) const {
    std::vector<std::vector<double>> found(shares.size(), std::vector<double>(questions_.size()));
    const std::size_t tiles = (questions_.size() + kTileQueries - 1) / kTileQueries;
    std::atomic<std::size_t> next = 0;
    const std::size_t useful = useful_threads(threads_, rows_.count * rows_.stride * questions_.size());
    on_threads(std::min(useful, std::max<std::size_t>(1, tiles)), [&](std::size_t) {
      std::vector<float> plain, moved;
      std::vector<double> best(count_);
      for (std::size_t tile = next++; tile < tiles; tile = next++) {
        const std::size_t first = tile * kTileQueries;
        const std::size_t here = std::min<std::size_t>(kTileQueries, questions_.size() - first);
        LineVector<float> given(here * rows_.stride);
        for (std::size_t q = 0; q < here; ++q)
          std::copy(questions_[first + q].first, questions_[first + q].first + rows_.stride, &given[q * rows_.stride]);
        score(given.data(), here, plain);
        score(mapped.data() + first * rows_.stride, here, moved);
        for (std::size_t q = 0; q < here; ++q)
          for (std::size_t s = 0; s < shares.size(); ++s) {
            best.assign(count_, -std::numeric_limits<double>::infinity());
            for (std::size_t row = 0; row < rows_.count; ++row) {
              const std::size_t at = row / kPanel * here * kPanel + q * kPanel + row % kPanel;
              double value = plain[at] + shares[s] * (static_cast<double>(moved[at]) - plain[at]);
              if (rows_.bias) value += rows_.bias[row];
              double& known = best[documents_[row]];
              known = std::max(known, value);
            }
            found[s][first + q] = judge(best, questions_[first + q].second);
          }
      }
    });
    return found;
  }

 private:
  /// As SoftmaxKernels have scores, of all rows.
  void score(const float* given, std::size_t count, std::vector<float>& out) const {
    out.resize(padded_rows(rows_.count) * count);
    for (std::size_t row = 0; row < rows_.count; row += kPanel)
      score_panel(given, count, rows_.stride, rows_.data + row * rows_.stride, &out[row * count]);
  }

  static double judge(const std::vector<double>& best, const std::vector<std::uint32_t>& right) {
    constexpr std::size_t kPlaces = 10;
    std::vector<std::size_t> places;
    for (const std::uint32_t document : right) {
      const double mine = best[document];
      const auto better = std::count_if(best.begin(), best.end(), [&](double other) { return other > mine; });
      places.push_back(static_cast<std::size_t>(better));
    }
    std::sort(places.begin(), places.end());
    double sum = 0, most = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const std::size_t place = std::max(places[i], i);  // of equal scores each has a place of its own
      if (place < kPlaces) sum += 1 / std::log2(static_cast<double>(place) + 2);
      if (i < kPlaces) most += 1 / std::log2(static_cast<double>(i) + 2);
    }
    return sum / most;
  }

  SoftmaxRows rows_;
  std::span<const std::uint32_t> documents_;
  std::size_t count_;
  std::vector<std::pair<const float*, std::vector<std::uint32_t>>> questions_;
  unsigned threads_;
};

}  // namespace graft::detail
