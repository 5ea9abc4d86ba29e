#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/retrieval/detail/held_out.hpp"
#include "graft/retrieval/detail/query_map_loss.hpp"
#include "graft/retrieval/detail/split_mix.hpp"
#include "graft/retrieval/index.hpp"
#include "graft/retrieval/query_map_training.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE void check_options(const QueryMapOptions& options) {
  const auto positive = [](const char* name, double value) {
    if (!(value > 0) || !std::isfinite(value))
      throw OptionError(message(name, " is ", value, " in the training of a map; choose a number above 0"));
  };
  positive("scale", options.scale);
  positive("lr", options.lr);
  positive("same_above", options.same_above);
  for (const auto& [name, value] : {std::pair{"epochs", options.epochs}, {"batch", options.batch}})
    if (value < 1 || value > 1'000'000)
      throw OptionError(message(name, " is ", value, " in the training of a map; choose 1 to 1000000"));
  if (options.blend && !(*options.blend > 0 && *options.blend <= 1))
    throw OptionError(message("blend is ", *options.blend, " in the training of a map; choose above 0, at most 1"));
}

GRAFT_INLINE void check_data(const QueryMapData& data) {
  check_space(data.space);
  const auto width = static_cast<std::size_t>(data.space.width);
  const std::size_t questions = data.questions.size() / width, answers = data.answers.size() / width;
  check_vectors(data.space, questions, data.questions, "question");
  check_vectors(data.space, answers, data.answers, "answer");
  if (answers > UINT32_MAX) throw OptionError("a map is trained on at most 4294967295 answers");
  if (!data.documents.empty() && data.documents.size() != answers)
    throw ShapeError(message(answers, " answers belong to documents, but ", data.documents.size(), " were named"));
  if (data.training.empty()) throw OptionError("there is no pair to train a map on");
  std::unordered_set<std::size_t> trained;
  for (const auto* pairs : {&data.training, &data.held_out})
    for (const auto& [question, answer] : *pairs) {
      if (question >= questions || answer >= answers)
        throw OptionError(
            message("a pair names question ", question, " and answer ", answer, " of ", questions, " and ", answers));
      if (pairs == &data.training)
        trained.insert(question);
      else if (trained.contains(question))
        throw OptionError(message("question ", question, " is both trained on and held out"));
    }
}

/// The vectors of a training, as its products take them: those of documents that only held-out questions have come
/// last.
struct PreparedMapData {
  std::size_t width = 0, stride = 0;
  LineVector<float> questions = {}, answers = {};        // padded
  std::size_t trained = 0;                               // answers that the softmax runs over
  std::vector<std::uint32_t> place = {};                 // answer -> its row in `answers`
  std::vector<std::uint32_t> documents = {};             // row -> document, from 0 on
  std::vector<std::vector<std::uint32_t>> rows_of = {};  // document -> rows
  std::vector<float> bias = {};                          // of the judging, under euclidean

  std::span<const float> row(std::uint32_t at) const { return std::span(answers).subspan(at * stride, stride); }
};

GRAFT_INLINE PreparedMapData prepare(const QueryMapData& data) {
  PreparedMapData out{.width = static_cast<std::size_t>(data.space.width), .stride = padded_width(data.space.width)};
  const std::size_t count = data.answers.size() / out.width;
  out.questions = padded_queries(data.space, data.questions);
  const auto document_of = [&](std::size_t answer) {
    return data.documents.empty() ? static_cast<std::int64_t>(answer) : data.documents[answer];
  };
  std::unordered_set<std::int64_t> held, kept;
  for (const AnsweredQuestion& pair : data.held_out) held.insert(document_of(pair.answer));
  for (const AnsweredQuestion& pair : data.training) kept.insert(document_of(pair.answer));
  out.place.resize(count);
  std::vector<std::uint32_t> order;
  for (const bool last : {false, true})
    for (std::size_t i = 0; i < count; ++i)
      if ((held.contains(document_of(i)) && !kept.contains(document_of(i))) == last) {
        out.place[i] = static_cast<std::uint32_t>(order.size());
        order.push_back(static_cast<std::uint32_t>(i));
        out.trained += !last;
      }
  out.answers.assign(padded_rows(count) * out.stride, 0);
  std::unordered_map<std::int64_t, std::uint32_t> numbers;
  for (std::size_t row = 0; row < count; ++row) {
    const std::size_t from = order[row];
    copy_scaled(data.space.metric, data.answers.subspan(from * out.width, out.width), &out.answers[row * out.stride]);
    const auto [at, fresh] = numbers.emplace(document_of(from), static_cast<std::uint32_t>(numbers.size()));
    if (fresh) out.rows_of.emplace_back();
    out.documents.push_back(at->second);
    out.rows_of[at->second].push_back(static_cast<std::uint32_t>(row));
  }
  if (data.space.metric == Metric::euclidean) {
    out.bias.assign(padded_rows(count), 0);
    for (std::size_t row = 0; row < count; ++row)
      out.bias[row] =
          -0.5f * dot_kernels().inner_pair(&out.answers[row * out.stride], &out.answers[row * out.stride], out.stride);
  }
  return out;
}

/// For each of `rows` the other rows whose cosine with it is at least `least`, sorted.
GRAFT_INLINE std::vector<std::vector<std::uint32_t>> find_same(const PreparedMapData& data, Metric metric,
                                                               std::span<const std::uint32_t> rows, double least,
                                                               unsigned threads) {
  std::vector<std::vector<std::uint32_t>> out(rows.size());
  if (least > 1) return out;
  LineVector<float> scaled;
  if (metric != Metric::cosine) {
    scaled.assign(data.answers.size(), 0);
    for (std::size_t row = 0; row < data.documents.size(); ++row)
      if (const auto from = data.row(static_cast<std::uint32_t>(row));
          std::any_of(from.begin(), from.end(), [](float x) { return x != 0; }))
        copy_scaled(Metric::cosine, from, &scaled[row * data.stride]);
  }
  const LineVector<float>& all = metric == Metric::cosine ? data.answers : scaled;
  constexpr std::size_t kBlock = 96;  // whose rows stay in the second-level cache
  std::atomic<std::size_t> next = 0;
  const std::size_t useful = useful_threads(threads, rows.size() * data.trained * data.stride);
  on_threads(useful, [&](std::size_t) {
    LineVector<float> block(kBlock * data.stride), scores(kBlock * kPanel);
    for (std::size_t first = kBlock * next++; first < rows.size(); first = kBlock * next++) {
      const std::size_t here = std::min(kBlock, rows.size() - first);
      for (std::size_t i = 0; i < here; ++i)
        std::copy_n(&all[rows[first + i] * data.stride], data.stride, &block[i * data.stride]);
      for (std::size_t panel = 0; panel < data.trained; panel += kPanel) {
        score_panel(block.data(), here, data.stride, &all[panel * data.stride], scores.data());
        for (std::size_t i = 0; i < here; ++i)
          for (std::size_t r = 0; r < std::min<std::size_t>(kPanel, data.trained - panel); ++r)
            if (scores[i * kPanel + r] >= least && panel + r != rows[first + i])
              out[first + i].push_back(static_cast<std::uint32_t>(panel + r));
      }
    }
  });
  return out;
}

/// The pairs of a training with what has no part in their softmax.
struct MaskedPairs {
  std::vector<QueryMapLoss::Row> rows;
  std::vector<std::vector<std::uint32_t>> masked;
  std::size_t same = 0;
};

GRAFT_INLINE MaskedPairs mask_pairs(const QueryMapData& given, const PreparedMapData& data,
                                    const QueryMapOptions& options) {
  std::unordered_map<std::size_t, std::vector<std::uint32_t>> right;  // question -> rows
  std::vector<std::uint32_t> distinct;
  for (const AnsweredQuestion& pair : given.training) {
    right[pair.question].push_back(data.place[pair.answer]);
    distinct.push_back(data.place[pair.answer]);
  }
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  const auto same = find_same(data, given.space.metric, distinct, options.same_above, options.threads);
  MaskedPairs out;
  for (const auto& found : same) out.same += found.size();
  for (const AnsweredQuestion& pair : given.training) {
    const std::uint32_t mine = data.place[pair.answer];
    std::vector<std::uint32_t> masked;
    for (const std::uint32_t row : right[pair.question]) {
      const auto at =
          static_cast<std::size_t>(std::lower_bound(distinct.begin(), distinct.end(), row) - distinct.begin());
      masked.insert(masked.end(), same[at].begin(), same[at].end());
      const auto& of_document = data.rows_of[data.documents[row]];
      masked.insert(masked.end(), of_document.begin(), of_document.end());
    }
    std::sort(masked.begin(), masked.end());
    masked.erase(std::unique(masked.begin(), masked.end()), masked.end());
    std::erase_if(masked, [&](std::uint32_t row) { return row == mine || row >= data.trained; });
    out.masked.push_back(std::move(masked));
    out.rows.push_back({pair.question, mine});
  }
  for (std::size_t i = 0; i < out.rows.size(); ++i) out.rows[i].masked = out.masked[i];
  return out;
}

GRAFT_INLINE HeldOut held_out(const QueryMapData& given, const PreparedMapData& data, unsigned threads) {
  std::vector<std::pair<const float*, std::vector<std::uint32_t>>> questions;
  std::unordered_map<std::size_t, std::size_t> numbers;
  for (const AnsweredQuestion& pair : given.held_out) {
    const auto [at, fresh] = numbers.emplace(pair.question, questions.size());
    if (fresh)
      questions.emplace_back(data.questions.data() + pair.question * data.stride, std::vector<std::uint32_t>());
    auto& right = questions[at->second].second;
    const std::uint32_t document = data.documents[data.place[pair.answer]];
    if (std::find(right.begin(), right.end(), document) == right.end()) right.push_back(document);
  }
  const SoftmaxRows rows{data.answers.data(), data.documents.size(), data.stride,
                         data.bias.empty() ? nullptr : data.bias.data()};
  return {rows, data.documents, data.rows_of.size(), std::move(questions), threads};
}

/// Adam (Kingma and Ba, 2015) on the weights, which start at the identity; gradients are clipped to length 1.
class MapWeights {
 public:
  MapWeights(std::size_t width, std::size_t stride) : width_(width), stride_(stride) {
    weights_.assign(width * stride, 0);
    for (std::size_t i = 0; i < width; ++i) weights_[i * stride + i] = 1;
    first_.assign(weights_.size(), 0);
    second_.assign(weights_.size(), 0);
  }

  const LineVector<float>& padded() const { return weights_; }

  void step(const LineVector<float>& gradient, double lr) {
    constexpr double kFirst = 0.9, kSecond = 0.999, kSmall = 1e-8;
    double square = 0;
    for (const float g : gradient) square += static_cast<double>(g) * g;
    const auto clip = static_cast<float>(1 / std::max(1.0, std::sqrt(square)));
    ++steps_;
    const auto rate = static_cast<float>(lr / (1 - std::pow(kFirst, steps_)));
    const auto over = static_cast<float>(1 / (1 - std::pow(kSecond, steps_)));
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      const float g = clip * gradient[i];
      first_[i] += static_cast<float>(1 - kFirst) * (g - first_[i]);
      second_[i] += static_cast<float>(1 - kSecond) * (g * g - second_[i]);
      weights_[i] -= rate * first_[i] / (std::sqrt(over * second_[i]) + static_cast<float>(kSmall));
    }
  }

  /// [width, width]
  std::vector<float> plain() const {
    std::vector<float> out;
    for (std::size_t o = 0; o < width_; ++o)
      out.insert(out.end(), &weights_[o * stride_], &weights_[o * stride_] + width_);
    return out;
  }

 private:
  std::size_t width_, stride_;
  LineVector<float> weights_, first_, second_;
  int steps_ = 0;
};

/// Chooses among epochs and blends.
class BestBlend {
 public:
  BestBlend(const HeldOut& questions, const QueryMapData& given, const PreparedMapData& data,
            std::optional<double> blend)
      : questions_(questions), data_(data) {
    for (int tenth = 0; tenth <= 10; ++tenth) shares_.push_back(tenth / 10.0);
    if (blend) shares_ = {0, *blend};
    std::unordered_set<std::size_t> seen;
    for (const AnsweredQuestion& pair : given.held_out)
      if (seen.insert(pair.question).second) order_.push_back(pair.question);
    for (const std::size_t question : order_) {
      const auto from = std::span(data.questions).subspan(question * data.stride, data.stride);
      given_.insert(given_.end(), from.begin(), from.end());
    }
  }

  /// Looks at the map after an epoch: its best nDCG. The blend with the identity alone is the search without a map.
  double look(std::size_t epoch, const MapWeights& weights) {
    const auto found = questions_.ndcg(
        map_questions(weights.padded().data(), data_.width, data_.stride, given_.data(), order_.size()), shares_);
    std::size_t best = 1;
    for (std::size_t s = 2; s < shares_.size(); ++s)
      if (mean(found[s]) > mean(found[best])) best = s;
    const double now = mean(found[best]);
    if (epoch == 1) before = after = mean(found[0]);
    if (now <= before || (!best_.empty() && now < mean(best_) - standard_error(found[best], best_))) return now;
    if (best_.empty() || now > mean(best_)) {
      best_ = found[best];
      last_better = epoch;
    }
    after = now;
    share = shares_[best];
    epoch_ = epoch;
    weights_ = weights.plain();
    return now;
  }

  std::size_t epoch() const { return epoch_; }
  QueryMap map(const VectorSpace& space) const {
    return epoch_ == 0 ? QueryMap(space) : QueryMap(space, weights_).blended(share);
  }

  double before = 0, after = 0, share = 0;
  std::size_t last_better = 0;  // the epoch that did best of all

 private:
  static double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }

  /// Of the mean of the differences.
  static double standard_error(const std::vector<double>& a, const std::vector<double>& b) {
    const double middle = mean(a) - mean(b), count = static_cast<double>(a.size());
    double squares = 0;
    for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i] - middle) * (a[i] - b[i] - middle);
    return std::sqrt(squares / count / std::max(1.0, count - 1));
  }

  const HeldOut& questions_;
  const PreparedMapData& data_;
  std::vector<double> shares_;
  std::vector<std::size_t> order_;
  LineVector<float> given_;   // [held-out questions, stride]
  std::vector<double> best_;  // of each question, at best
  std::size_t epoch_ = 0;
  std::vector<float> weights_;
};

/// Up over the first tenth of the steps, then down to 0. `step` from 1.
GRAFT_INLINE double rate_at(double lr, std::size_t step, std::size_t steps) {
  const std::size_t warm = std::max<std::size_t>(1, steps / 10);
  if (step <= warm) return lr * static_cast<double>(step) / static_cast<double>(warm);
  return lr * static_cast<double>(steps - step) / static_cast<double>(std::max<std::size_t>(1, steps - warm));
}

}  // namespace detail

GRAFT_INLINE QueryMapResult train_query_map(const QueryMapData& given, const QueryMapOptions& options) {
  detail::check_options(options);
  detail::check_data(given);
  QueryMapResult out{.map = QueryMap(given.space)};
  const detail::PreparedMapData data = detail::prepare(given);
  const detail::MaskedPairs pairs = detail::mask_pairs(given, data, options);
  out.same = pairs.same;
  const detail::HeldOut judges = detail::held_out(given, data, options.threads);
  detail::BestBlend best(judges, given, data, options.blend);
  detail::QueryMapLoss loss_of(given.space.metric, options.scale, data.width, data.questions, data.answers,
                               data.trained, options.threads);
  detail::MapWeights weights(data.width, data.stride);
  detail::LineVector<float> gradient;
  detail::SplitMix random(options.seed);
  std::vector<std::size_t> order(pairs.rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t per_epoch = (order.size() + options.batch - 1) / options.batch;
  std::size_t step = 0;
  for (std::size_t epoch = 1; epoch <= options.epochs && !out.stopped; ++epoch) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
    double sum = 0;
    for (std::size_t begin = 0; begin < order.size(); begin += options.batch) {
      if (options.stop && options.stop()) {
        out.stopped = true;
        break;
      }
      std::vector<detail::QueryMapLoss::Row> batch;
      for (std::size_t i = begin; i < std::min(order.size(), begin + options.batch); ++i)
        batch.push_back(pairs.rows[order[i]]);
      const double loss = loss_of(weights.padded(), batch, gradient);
      if (!std::isfinite(loss))
        throw TrainingError(message("the loss is ", loss, " in step ", step + 1, " of a map's training; lower lr, ",
                                    options.lr, ", or scale, ", options.scale));
      weights.step(gradient, detail::rate_at(options.lr, ++step, per_epoch * options.epochs));
      sum += loss * static_cast<double>(batch.size());
      if (options.progress)
        options.progress({epoch, step, per_epoch * options.epochs, sum / static_cast<double>(begin + batch.size())});
    }
    if (out.stopped) break;
    out.epochs.push_back({sum / static_cast<double>(order.size()), 0});
    if (judges.empty()) {
      out.map = QueryMap(given.space, weights.plain());
      out.best_epoch = epoch;
      continue;
    }
    out.epochs.back().held_out = best.look(epoch, weights);
    if (epoch - best.last_better >= std::max<std::size_t>(1, options.patience)) break;
  }
  if (!judges.empty()) {
    out.map = best.map(given.space);
    out.best_epoch = best.epoch();
    out.before = best.before;
    out.after = best.after;
    out.blend = best.share;
  }
  return out;
}

}  // namespace graft
