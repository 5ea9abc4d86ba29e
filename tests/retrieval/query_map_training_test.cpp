#include "graft/retrieval/query_map_training.hpp"

#include <random>

#include "graft/retrieval/detail/query_map_loss.hpp"
#include "retrieval/query_map_twin.hpp"
#include "retrieval/support.hpp"

namespace graft::query_map_training_test {
namespace {

using test::Doubles;
using test::expect_error;
using test::LossTwin;

constexpr Metric kMetrics[] = {Metric::cosine, Metric::inner_product, Metric::euclidean};

struct Case {
  Metric metric;
  std::size_t width, questions, documents;
  std::vector<float> asked, stored;
  double scale;

  Case(Metric metric, std::size_t width, std::size_t questions, std::size_t documents)
      : metric(metric),
        width(width),
        questions(questions),
        documents(documents),
        asked(test::random_vectors(questions, static_cast<std::int64_t>(width), width)),
        stored(test::random_vectors(documents, static_cast<std::int64_t>(width), width + 1)),
        scale(metric == Metric::cosine ? 20 : 0.3) {}

  VectorSpace space() const { return {"m", static_cast<std::int64_t>(width), metric}; }
  LossTwin twin() const {
    return {metric, scale, width, test::scaled_rows(metric, asked, width), test::scaled_rows(metric, stored, width)};
  }
  /// Rows of the twin: question q has document q, and some others are masked.
  std::vector<LossTwin::Row> rows() const {
    std::vector<LossTwin::Row> out;
    for (std::size_t q = 0; q < questions; ++q) {
      out.push_back({q, q, {}});
      for (std::size_t d = q % 3; d < documents && q % 2 == 1; d += 7)
        if (d != q) out.back().masked.insert(d);
    }
    return out;
  }
  Doubles weights() const {
    const auto noise = test::random_vectors(width, static_cast<std::int64_t>(width), 9);
    Doubles out(noise.begin(), noise.end());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = 0.1f * noise[i] + (i / width == i % width ? 1.0f : 0.0f);
    return out;
  }
};

TEST(QueryMapLossTwin, GradientEqualsFiniteDifferences) {
  for (const Metric metric : kMetrics) {
    const Case it(metric, 4, 5, 9);
    const LossTwin loss = it.twin();
    Doubles weights = it.weights(), gradient(weights.size(), 0);
    loss(weights, it.rows(), &gradient);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      constexpr double kStep = 1e-5;
      const double before = weights[i];
      weights[i] = before + kStep;
      const double up = loss(weights, it.rows(), nullptr);
      weights[i] = before - kStep;
      const double down = loss(weights, it.rows(), nullptr);
      weights[i] = before;
      // The third derivative times the square of the step, and rounding over the step.
      EXPECT_NEAR(gradient[i], (up - down) / (2 * kStep), 1e-7) << metric_name(metric) << ", weight " << i;
    }
  }
}

TEST(QueryMapLoss, EqualsItsTwinInValueAndGradient) {
  for (const Metric metric : kMetrics)
    for (const auto& [width, questions, documents] :
         {std::tuple{5, 3, 7}, {16, 16, 64}, {20, 17, 40}, {48, 7, 1100}, {100, 33, 65}}) {
      const Case it(metric, static_cast<std::size_t>(width), static_cast<std::size_t>(questions),
                    static_cast<std::size_t>(documents));
      const LossTwin twin = it.twin();
      const Doubles weights = it.weights();
      Doubles wanted(weights.size(), 0);
      const double wanted_loss = twin(weights, it.rows(), &wanted);

      const auto asked = detail::padded_queries(it.space(), it.asked);
      auto stored = detail::padded_queries(it.space(), it.stored);
      const std::size_t stride = detail::padded_width(it.space().width);
      stored.resize(detail::padded_rows(it.documents) * stride, 0.0f);
      detail::QueryMapLoss loss(metric, it.scale, it.width, asked, stored, it.documents, 2);
      detail::LineVector<float> padded(it.width * stride, 0.0f), gradient;
      for (std::size_t i = 0; i < weights.size(); ++i)
        padded[i / it.width * stride + i % it.width] = static_cast<float>(weights[i]);
      std::vector<std::vector<std::uint32_t>> masked;
      std::vector<detail::QueryMapLoss::Row> rows;
      for (const auto& row : it.rows()) masked.emplace_back(row.masked.begin(), row.masked.end());
      for (std::size_t q = 0; q < it.questions; ++q) rows.push_back({q, q, masked[q]});
      const double found = loss(padded, rows, gradient);
      double size = 0;
      for (const double g : wanted) size = std::max(size, std::abs(g));
      // Logits up to some tens in float32: their seventh digit is that of the loss.
      EXPECT_NEAR(found, wanted_loss, 1e-4) << metric_name(metric) << ", width " << width;
      for (std::size_t i = 0; i < wanted.size(); ++i)
        ASSERT_NEAR(gradient[i / it.width * stride + i % it.width], wanted[i], 2e-5 * size)
            << metric_name(metric) << ", width " << width << ", weight " << i;
    }
}

QueryMapData data_of(const Case& it, const std::vector<AnsweredQuestion>& training,
                     const std::vector<AnsweredQuestion>& held_out = {}) {
  return {.space = it.space(), .questions = it.asked, .answers = it.stored, .training = training, .held_out = held_out};
}

TEST(TrainQueryMap, GoesTheWayOfItsTwin) {
  for (const Metric metric : kMetrics) {
    const Case it(metric, 12, 40, 90);
    std::vector<AnsweredQuestion> pairs;
    std::vector<LossTwin::Row> rows;
    for (std::size_t q = 0; q < it.questions; ++q) pairs.push_back({q, q}), rows.push_back({q, q, {}});
    for (std::size_t q = 0; q < 5; ++q) {  // questions with a second answer: each is no rival of the other
      pairs.push_back({q, 80 + q});
      rows.push_back({q, 80 + q, {q}});
      rows[q].masked.insert(80 + q);
    }
    QueryMapOptions options;
    options.scale = it.scale;
    options.epochs = 4;
    options.batch = 16;
    options.seed = 3;
    options.lr = 5e-3;
    options.same_above = 2;
    const auto [weights, losses] = test::train_twin(it.twin(), rows, options);
    const QueryMapResult result = train_query_map(data_of(it, pairs), options);
    ASSERT_EQ(result.epochs.size(), 4u);
    for (std::size_t e = 0; e < 4; ++e) EXPECT_NEAR(result.epochs[e].loss, losses[e], 1e-4) << metric_name(metric);
    EXPECT_LT(losses[3], losses[0]);
    for (std::size_t i = 0; i < weights.size(); ++i)
      // Adam moves a weight by lr whatever the size of its slope: where that is near 0 its rounding counts.
      EXPECT_NEAR(result.map.weights()[i], weights[i], 2e-4) << metric_name(metric) << ", weight " << i;
    EXPECT_EQ(result.best_epoch, 4u);
    EXPECT_EQ(result.blend, 1);
  }
}

/// Documents around the axes; each question is its document turned by one and the same turn, with noise.
struct Turned {
  static constexpr std::size_t kWidth = 24, kCount = 400;
  std::vector<float> asked = std::vector<float>(kCount * kWidth), stored = test::random_vectors(kCount, kWidth, 5);
  std::vector<AnsweredQuestion> training, held_out;

  explicit Turned(double noise = 0.3) {
    const auto wild = test::random_vectors(kCount, kWidth, 6);
    for (std::size_t q = 0; q < kCount; ++q) {
      for (std::size_t i = 0; i < kWidth; ++i)  // neighbouring axes turned into each other by 70 degrees
        asked[q * kWidth + i] = static_cast<float>(
            std::cos(1.2) * stored[q * kWidth + i] +
            (i % 2 == 0 ? -std::sin(1.2) * stored[q * kWidth + i + 1] : std::sin(1.2) * stored[q * kWidth + i - 1]) +
            noise * wild[q * kWidth + i]);
      (q % 5 == 0 ? held_out : training).push_back({q, q});
    }
  }
  QueryMapData data() const {
    return {.space = {"m", kWidth, Metric::cosine},
            .questions = asked,
            .answers = stored,
            .training = training,
            .held_out = held_out};
  }
};

QueryMapOptions thorough() {
  QueryMapOptions options;
  options.lr = 0.02;
  options.epochs = 30;
  options.patience = 30;
  return options;
}

TEST(TrainQueryMap, LearnsATurnAndFindsWhatItNeverSaw) {
  const Turned turned;
  const QueryMapResult result = train_query_map(turned.data(), thorough());
  EXPECT_LT(result.before, 0.5);
  EXPECT_GT(result.after, 0.95);
  EXPECT_GT(result.best_epoch, 0u);
  EXPECT_GT(result.blend, 0);
  EXPECT_LT(result.epochs.back().loss, result.epochs.front().loss);
}

TEST(TrainQueryMap, IsTheSameByAnyNumberOfThreadsAndAnotherByAnotherSeed) {
  const Turned turned;
  QueryMapOptions options;
  options.threads = 1;
  const std::string one = train_query_map(turned.data(), options).map.fingerprint();
  options.threads = 3;
  EXPECT_EQ(train_query_map(turned.data(), options).map.fingerprint(), one);
  options.seed = 1;
  EXPECT_NE(train_query_map(turned.data(), options).map.fingerprint(), one);
}

TEST(TrainQueryMap, NeverGetsWorseOnHeldOutQuestions) {
  Turned turned(0.1);
  turned.asked = turned.stored;  // nothing can be better than this
  const QueryMapResult perfect = train_query_map(turned.data(), {.lr = 0.05});
  EXPECT_EQ(perfect.before, 1);
  EXPECT_EQ(perfect.after, 1);
  EXPECT_EQ(perfect.best_epoch, 0u);
  EXPECT_EQ(perfect.blend, 0);
  EXPECT_EQ(perfect.map.weights(), QueryMap(turned.data().space).weights());
  EXPECT_EQ(perfect.epochs.size(), 2u) << "patience";
  std::mt19937 random(3);
  for (AnsweredQuestion& pair : turned.training) pair.answer = turned.training[random() % 300].question;  // nonsense
  const QueryMapResult nonsense = train_query_map(turned.data(), {.lr = 0.05});
  EXPECT_EQ(nonsense.after, 1);
}

TEST(TrainQueryMap, JudgesByDocumentsNotByPassages) {
  // Of document 7 three passages are nearer to the question than that of document 9: they are one place before it.
  const std::vector<float> stored = {1, 0, 0.99f, 0.14f, 0.98f, 0.2f, 0.8f, 0.6f, 0, 1};
  const std::vector<float> asked = {1, 0.01f, 0, 1};
  const std::vector<std::int64_t> documents = {7, 7, 7, 9, 5};
  const std::vector<AnsweredQuestion> training = {{1, 4}}, held_out = {{0, 3}};
  QueryMapOptions options;
  options.lr = 1e-9;
  const QueryMapResult result = train_query_map({.space = {"m", 2, Metric::cosine},
                                                 .questions = asked,
                                                 .answers = stored,
                                                 .documents = documents,
                                                 .training = training,
                                                 .held_out = held_out},
                                                options);
  EXPECT_DOUBLE_EQ(result.before, 1 / std::log2(3.0));
}

TEST(TrainQueryMap, WhatIsTheSameAsTheRightAnswerIsNoRival) {
  Turned turned;
  constexpr std::size_t kWidth = Turned::kWidth;
  turned.stored.insert(turned.stored.end(), turned.stored.begin() + kWidth, turned.stored.begin() + 3 * kWidth);
  const QueryMapResult result = train_query_map(turned.data(), {.same_above = 0.999, .epochs = 1});
  EXPECT_EQ(result.same, 2u);
  EXPECT_EQ(train_query_map(turned.data(), {.same_above = 1.5, .epochs = 1}).same, 0u);
}

TEST(TrainQueryMap, NoPassageOfAHeldOutDocumentIsARival) {
  Turned turned;
  const auto loss = [&](std::int64_t document) {
    std::vector<std::int64_t> documents;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(Turned::kCount); ++i) documents.push_back(i);
    if (document >= 0) documents.push_back(document);
    QueryMapData data = turned.data();
    data.documents = documents;
    return train_query_map(data, {.epochs = 1}).epochs[0].loss;
  };
  const double before = loss(-1);
  turned.stored.insert(turned.stored.end(), turned.asked.begin() + Turned::kWidth,
                       turned.asked.begin() + 2 * Turned::kWidth);  // nearer to question 1 than its own answer
  EXPECT_EQ(loss(0), before) << "of a held-out document";
  EXPECT_GT(loss(1000), before);
  EXPECT_LT(loss(1), loss(1000)) << "of its own document";
}

TEST(TrainQueryMap, StopsWithTheBestOfTheWholeEpochs) {
  const Turned turned;
  QueryMapOptions options = thorough();
  std::size_t seen = 0, last = 0;
  options.progress = [&](const QueryMapProgress& now) {
    EXPECT_EQ(now.step, ++last);
    EXPECT_EQ(now.steps, 30u * 5);
    seen = now.epoch;
  };
  options.stop = [&] { return seen == 4; };
  const QueryMapResult result = train_query_map(turned.data(), options);
  EXPECT_TRUE(result.stopped);
  EXPECT_EQ(result.epochs.size(), 3u);
  EXPECT_GE(result.after, result.before);
  options.stop = [] { return true; };
  const QueryMapResult nothing = train_query_map(turned.data(), options);
  EXPECT_EQ(nothing.map.weights(), QueryMap(turned.data().space).weights());
}

TEST(TrainQueryMap, RefusesWhatDoesNotFit) {
  const Turned turned;
  const auto with = [&](const std::function<void(QueryMapData&)>& change) {
    return [&turned, change] {
      QueryMapData data = turned.data();
      change(data);
      train_query_map(data);
    };
  };
  const std::vector<AnsweredQuestion> far = {{0, 400}}, both = {{1, 1}};
  const std::vector<std::int64_t> few = {1, 2};
  const std::vector<float> zeros(Turned::kWidth * 400, 0.0f), odd(Turned::kWidth + 1, 1.0f);
  expect_error<OptionError>(with([&](auto& d) { d.training = far; }), "a pair names question 0 and answer 400 of 400");
  expect_error<OptionError>(with([&](auto& d) { d.held_out = both; }), "question 1 is both trained on and held out");
  expect_error<OptionError>(with([&](auto& d) { d.training = {}; }), "there is no pair to train a map on");
  expect_error<ShapeError>(with([&](auto& d) { d.documents = few; }), "400 answers belong to documents, but 2");
  expect_error<OptionError>(with([&](auto& d) { d.questions = zeros; }), "is zero, which has no cosine");
  expect_error<ShapeError>(with([&](auto& d) { d.answers = odd; }), "answer");
  expect_error<OptionError>(with([&](auto& d) { d.space.model = ""; }), "model");
  const std::pair<QueryMapOptions, const char*> table[] = {
      {{.scale = 0}, "scale is 0"},    {{.scale = NAN}, "scale is nan"}, {{.same_above = -1}, "same_above is -1"},
      {{.lr = INFINITY}, "lr is inf"}, {{.epochs = 0}, "epochs is 0"},   {{.batch = 0}, "batch is 0"},
  };
  for (const auto& [options, part] : table)
    expect_error<OptionError>([&, &options = options] { train_query_map(turned.data(), options); }, part);
}

}  // namespace
}  // namespace graft::query_map_training_test
