#pragma once

// What the training of a map does, in plain loops of double precision.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <span>
#include <vector>

#include "graft/retrieval/detail/split_mix.hpp"
#include "graft/retrieval/query_map_training.hpp"
#include "retrieval/support.hpp"

namespace graft::test {

using Doubles = std::vector<double>;

/// Rows [N, width], under cosine scaled to length 1.
inline Doubles scaled_rows(Metric metric, std::span<const float> from, std::size_t width) {
  Doubles out(from.begin(), from.end());
  for (std::size_t at = 0; metric == Metric::cosine && at < out.size(); at += width) {
    double square = 0;
    for (std::size_t i = 0; i < width; ++i) square += out[at + i] * out[at + i];
    for (std::size_t i = 0; i < width; ++i) out[at + i] /= std::sqrt(square);
  }
  return out;
}

struct LossTwin {
  Metric metric;
  double scale;
  std::size_t width;
  Doubles questions, documents;

  struct Row {
    std::size_t question, document;
    std::set<std::size_t> masked;
  };

  std::size_t count() const { return documents.size() / width; }

  Doubles mapped(const Doubles& weights, std::size_t question) const {
    Doubles z(width, 0);
    for (std::size_t o = 0; o < width; ++o)
      for (std::size_t i = 0; i < width; ++i) z[o] += weights[o * width + i] * questions[question * width + i];
    return z;
  }

  double score(const Doubles& z, std::size_t document) const {
    double dot = 0, length = 0, distance = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const double d = documents[document * width + i];
      dot += z[i] * d;
      length += z[i] * z[i];
      distance += (z[i] - d) * (z[i] - d);
    }
    return metric == Metric::cosine ? dot / std::sqrt(length) : metric == Metric::inner_product ? dot : -distance;
  }

  /// The mean loss; adds its derivative to `gradient`, if there is one.
  double operator()(const Doubles& weights, const std::vector<Row>& batch, Doubles* gradient) const {
    double loss = 0;
    for (const Row& row : batch) {
      const Doubles z = mapped(weights, row.question);
      Doubles logits(count());
      double sum = 0;
      for (std::size_t d = 0; d < count(); ++d) {
        logits[d] = scale * score(z, d);
        if (!row.masked.contains(d)) sum += std::exp(logits[d]);
      }
      loss += (std::log(sum) - logits[row.document]) / static_cast<double>(batch.size());
      if (!gradient) continue;
      const double length = std::sqrt(std::inner_product(z.begin(), z.end(), z.begin(), 0.0));
      for (std::size_t d = 0; d < count(); ++d) {
        const double p = row.masked.contains(d) ? 0 : std::exp(logits[d]) / sum;
        const double slope = scale * (p - (d == row.document)) / static_cast<double>(batch.size());
        for (std::size_t o = 0; o < width; ++o) {
          const double to = documents[d * width + o];
          const double by_z = metric == Metric::cosine          ? (to - score(z, d) * z[o] / length) / length
                              : metric == Metric::inner_product ? to
                                                                : 2 * (to - z[o]);
          for (std::size_t i = 0; i < width; ++i)
            (*gradient)[o * width + i] += slope * by_z * questions[row.question * width + i];
        }
      }
    }
    return loss;
  }
};

/// train_query_map() without held-out questions: its weights, and the mean loss of each epoch.
inline std::pair<Doubles, Doubles> train_twin(const LossTwin& loss, const std::vector<LossTwin::Row>& rows,
                                              const QueryMapOptions& options) {
  const std::size_t size = loss.width * loss.width;
  Doubles weights(size, 0), first(size, 0), second(size, 0), losses;
  for (std::size_t i = 0; i < loss.width; ++i) weights[i * loss.width + i] = 1;
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  detail::SplitMix random(options.seed);
  const std::size_t steps = options.epochs * ((rows.size() + options.batch - 1) / options.batch);
  const std::size_t warm = std::max<std::size_t>(1, steps / 10);
  std::size_t step = 0;
  for (std::size_t epoch = 0; epoch < options.epochs; ++epoch) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
    double sum = 0;
    for (std::size_t begin = 0; begin < order.size(); begin += options.batch) {
      std::vector<LossTwin::Row> batch;
      for (std::size_t i = begin; i < std::min(order.size(), begin + options.batch); ++i)
        batch.push_back(rows[order[i]]);
      Doubles gradient(size, 0);
      sum += loss(weights, batch, &gradient) * static_cast<double>(batch.size());
      const double length = std::sqrt(std::inner_product(gradient.begin(), gradient.end(), gradient.begin(), 0.0));
      ++step;
      const double rate =
          options.lr * (step <= warm ? static_cast<double>(step) / static_cast<double>(warm)
                                     : static_cast<double>(steps - step) / static_cast<double>(steps - warm));
      for (std::size_t i = 0; i < size; ++i) {
        const double g = gradient[i] / std::max(1.0, length);
        first[i] = 0.9 * first[i] + 0.1 * g;
        second[i] = 0.999 * second[i] + 0.001 * g * g;
        const auto power = static_cast<double>(step);
        weights[i] -= rate * (first[i] / (1 - std::pow(0.9, power))) /
                      (std::sqrt(second[i] / (1 - std::pow(0.999, power))) + 1e-8);
      }
    }
    losses.push_back(sum / static_cast<double>(rows.size()));
  }
  return {weights, losses};
}

}  // namespace graft::test
