// On the CPU a captured step is the plain step. What a CUDA device would record (the padded batch in its place, no
// value read on the host) runs here too, an operation at a time; tests/gpu replays it.

#include "graft/training/captured_step.hpp"

#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/utils.h>

#include "graft/adapters/attach.hpp"
#include "graft/models/heads.hpp"
#include "graft/training/detail/batch_in_place.hpp"
#include "graft/training/schedule.hpp"
#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"
#include "support/small_encoders.hpp"

namespace graft {
namespace {

constexpr TokenBudget budget{.tokens = 40, .sequences = 5, .longest = 12};

BertConfig tiny(const std::string& model_type, double dropout = 0.0) {
  BertConfig config = small_bert(model_type);
  config.initializer_range = 0.3;
  config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout;
  return config;
}

struct Labelled {
  PackedBatch tokens;
  torch::Tensor labels;  // of sequences
};

/// Batches of different shapes, one of them with a label that is not judged, the last as large as the budget.
std::vector<Labelled> batches() {
  torch::manual_seed(4);
  std::vector<Labelled> all;
  const std::vector<std::vector<std::int64_t>> shapes = {{4, 7}, {12, 1, 5, 9, 3}, {1}, {2, 2, 2}, {12, 12, 12, 3, 1}};
  for (const auto& lengths : shapes) {
    std::vector<std::vector<std::int32_t>> ids;
    for (const std::int64_t length : lengths) {
      const torch::Tensor drawn = torch::randint(1, 50, {length}, torch::kInt32);
      ids.emplace_back(drawn.data_ptr<std::int32_t>(), drawn.data_ptr<std::int32_t>() + length);
    }
    all.push_back({pack(ids), torch::randint(0, 3, {std::int64_t(ids.size())}, torch::kInt64)});
  }
  all[1].labels[2] = -100;
  return all;
}

template <class Model>
Model model_of(const std::string& type, torch::Dtype element = torch::kDouble, double dropout = 0.0) {
  torch::manual_seed(5);
  Model model(tiny(type, dropout));
  model->to(element);
  return model;
}

std::vector<ParameterGroup> groups(const torch::nn::Module& module) { return decay_groups(module, 1e-2, 0.1); }

template <class Model>
auto loss_of(Model& model) {
  return
      [&model](const PackedBatch& batch, const torch::Tensor& labels) { return cross_entropy(model(batch), labels); };
}

double difference(const torch::nn::Module& a, const torch::nn::Module& b) {
  double largest = 0.0;
  const auto others = b.named_parameters();
  for (const auto& item : a.named_parameters())
    largest = std::max(largest, (item.value() - others[item.key()]).abs().max().item<double>());
  return largest;
}

/// A step with the pieces alone.
template <class Model>
double plain_step(Model& model, AdamW& optimizer, const Labelled& batch, double multiplier) {
  optimizer.zero_grad();
  const Loss loss = cross_entropy(model(batch.tokens), batch.labels);
  loss.sum.backward();
  optimizer.step(multiplier, gradient_scale(optimizer.parameters(), loss.count, 0.5).divisor);
  return loss.mean().template item<double>();
}

TEST(CapturedStep, IsThePlainStepOnTheCpu) {
  using Model = BertForSequenceClassification;
  for (const torch::Dtype type : {torch::kFloat, torch::kDouble}) {
    Model captured = model_of<Model>("bert", type, 0.1), plain = model_of<Model>("bert", type, 0.1);
    AdamW captured_optimizer(groups(*captured)), plain_optimizer(groups(*plain));
    CapturedStep step(captured_optimizer, {.budget = budget, .clip_norm = 0.5}, loss_of(captured));
    double multiplier = 1.0;
    for (int round = 0; round < 2; ++round) {
      for (const Labelled& batch : batches()) {
        torch::manual_seed(6);
        const double mean = step(batch.tokens, batch.labels, multiplier).item<double>();
        torch::manual_seed(6);
        EXPECT_EQ(mean, plain_step(plain, plain_optimizer, batch, multiplier));
        multiplier *= 0.9;
      }
    }
    EXPECT_EQ(difference(*captured, *plain), 0.0);
    EXPECT_GT(difference(*captured, *model_of<Model>("bert", type)), 1e-2);
  }
}

TEST(CapturedStep, LearnsInALoop) {
  auto model = model_of<BertForSequenceClassification>("bert", torch::kFloat);
  AdamW optimizer(groups(*model));
  const std::vector<Labelled> data = batches();
  const ScheduleSpan span{.warmup = 2, .total = 60};
  std::vector<torch::Tensor> mean_losses;

  CapturedStep step(
      optimizer, {.budget = {.tokens = 40, .sequences = 5, .longest = 12}, .clip_norm = 1.0},
      [&](const PackedBatch& batch, const torch::Tensor& labels) { return cross_entropy(model(batch), labels); });
  for (std::int64_t i = 0; i < span.total; ++i) {
    const auto& [tokens, labels] = data[static_cast<std::size_t>(i) % data.size()];
    mean_losses.push_back(step(tokens, labels, LinearDecay{}(i, span)));
  }

  EXPECT_GT(mean_losses.front().item<double>(), 0.5);
  EXPECT_LT(mean_losses.back().item<double>(), 0.1);
}

struct LabelledRows {
  std::vector<Labelled> all = batches();
  std::int64_t size() const { return static_cast<std::int64_t>(all.size()); }
  std::int64_t length(std::int64_t row) const { return all[static_cast<std::size_t>(row)].tokens.tokens(); }
  const Labelled& batch(std::span<const std::int64_t> rows) const { return all[static_cast<std::size_t>(rows[0])]; }
};

TEST(CapturedStep, LearnsUnderATrainer) {
  auto model = model_of<BertForSequenceClassification>("bert", torch::kFloat);
  const LabelledRows data;
  Trainer trainer(*model, {.length = Epochs{12}, .batch = Sequences{1}, .lr = 1e-2});

  const TrainingResult result = trainer.train_captured(
      data, {.budget = {.tokens = 40, .sequences = 5, .longest = 12}},
      [&](const PackedBatch& batch, const torch::Tensor& labels) { return cross_entropy(model(batch), labels); });

  EXPECT_EQ(result.steps, 60);
  EXPECT_LT(result.loss, 0.2);
}

/// Gradients of a batch's loss, and the loss itself.
template <class Model>
std::vector<torch::Tensor> gradients(Model& model, const PackedBatch& batch, const torch::Tensor& labels) {
  model->zero_grad();
  const Loss loss = cross_entropy(model(batch), labels);
  loss.sum.backward();
  std::vector<torch::Tensor> all{loss.sum.detach(), torch::tensor(double(loss.count))};
  for (const torch::Tensor& parameter : model->parameters()) all.push_back(parameter.grad().clone());
  return all;
}

TEST(CapturedStep, PaddingChangesNeitherLossNorGradients) {
  const auto compare = [](auto model, bool of_tokens) {
    for (const Labelled& batch : batches()) {
      const torch::Tensor labels =
          of_tokens ? torch::randint(0, 3, {batch.tokens.tokens()}, torch::kInt64) : batch.labels;
      const PackedBatch padded = pad_to_budget(batch.tokens, budget);
      const std::int64_t size = of_tokens ? padded.tokens() : padded.sequences();
      const auto expected = gradients(model, batch.tokens, labels);
      const auto got = gradients(model, padded, pad_labels(labels, size));
      for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_LT((got[i] - expected[i]).abs().max().template item<double>(), 1e-12) << i;
    }
  };
  for (const std::string type : {"bert", "roberta"}) {
    compare(model_of<BertForSequenceClassification>(type), false);
    compare(model_of<BertForTokenClassification>(type), true);
  }
}

/// Steps as a CUDA device records them, and plain ones: the largest difference of loss and parameters.
template <class Model>
double difference_of_recorded_steps(Model recorded, Model plain, bool token_labels = false) {
  AdamW recorded_optimizer(groups(*recorded)), plain_optimizer(groups(*plain));
  const CapturedStepOptions options{.budget = budget, .clip_norm = 0.5, .token_labels = token_labels};
  detail::BatchInPlace place(options, torch::kCPU);
  double largest = 0.0, multiplier = 1.0;
  for (Labelled batch : batches()) {
    if (token_labels) batch.labels = batch.tokens.ids.remainder(3);
    place.load(batch.tokens, batch.labels);
    place.set_lr_multiplier(multiplier);
    const StepGradients made = detail::gradients_of_batch(recorded_optimizer, options.clip_norm, loss_of(recorded),
                                                          place.batch(), place.labels());
    recorded_optimizer.step(place.lr_multiplier(), made.scale.divisor);
    largest = std::max(
        largest, std::abs(made.loss.mean().item<double>() - plain_step(plain, plain_optimizer, batch, multiplier)));
    multiplier *= 0.5;
  }
  return std::max(largest, difference(*recorded, *plain));
}

// The rate and the gradients' divisor are float32: 6e-8, carried on through five steps that move values by up to 0.01.
constexpr double rate_rounding = 1e-6;

TEST(CapturedStep, RecordsStepsThatEqualPlainOnes) {
  for (const std::string type : {"bert", "roberta"}) {
    using Sequences = BertForSequenceClassification;
    EXPECT_LT(difference_of_recorded_steps(model_of<Sequences>(type), model_of<Sequences>(type)), rate_rounding);
    using Tokens = BertForTokenClassification;
    EXPECT_LT(difference_of_recorded_steps(model_of<Tokens>(type), model_of<Tokens>(type), true), rate_rounding);
  }
}

BertForSequenceClassification lora_model() {
  auto model = model_of<BertForSequenceClassification>("bert");
  attach(*model, LoraOptions{.rank = 2, .alpha = 4}, Targets{.layers = {"query", "value", "dense"}});
  return model;
}

TEST(CapturedStep, RecordsStepsOfLoraThatEqualPlainOnes) {
  EXPECT_LT(difference_of_recorded_steps(lora_model(), lora_model()), rate_rounding);
}

/// The operations called by `body` itself, not by other operations, that make a CUDA device wait or that give a result
/// whose size must be read.
template <class Body>
std::vector<std::string> host_reads(const Body& body) {
  static std::vector<std::string> found;
  static int depth;
  found.clear();
  depth = 0;
  at::RecordFunctionCallback callback(
      [](const at::RecordFunction& call) -> std::unique_ptr<at::ObserverContext> {
        for (const std::string_view name : {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero",
                                            "aten::equal", "aten::nonzero", "aten::masked_select", "aten::_unique2"})
          if (depth == 0 && name == call.name()) found.emplace_back(name);
        ++depth;
        return nullptr;
      },
      [](const at::RecordFunction&, at::ObserverContext*) { --depth; });
  const auto handle = at::addThreadLocalCallback(callback.scopes({at::RecordScope::FUNCTION}));
  body();
  at::removeCallback(handle);
  return found;
}

TEST(CapturedStep, AsksForNoValueOnTheHost) {
  for (const std::string type : {"bert", "roberta"}) {
    auto model = model_of<BertForSequenceClassification>(type, torch::kDouble, 0.1);
    AdamW optimizer(groups(*model));
    detail::BatchInPlace place({.budget = budget}, torch::kCPU);
    place.load(batches()[1].tokens, batches()[1].labels);
    const auto read = host_reads([&] {
      const StepGradients made =
          detail::gradients_of_batch(optimizer, 0.5, loss_of(model), place.batch(), place.labels());
      optimizer.step(place.lr_multiplier(), made.scale.divisor);
      made.loss.mean();
    });
    // What lies on the CPU is looked at: by gradient_scale() the count, by step() multiplier and divisor for each
    // group.
    EXPECT_EQ(read, std::vector<std::string>(1 + 2 * optimizer.groups().size(), "aten::item")) << type;
    // The plain step looks at the batch.
    EXPECT_GT(host_reads([&] { model(batches()[1].tokens); }).size(), 0u);
  }
}

TEST(CapturedStep, RefusesWhatDoesNotFit) {
  auto model = model_of<BertForSequenceClassification>("bert");
  AdamW optimizer(groups(*model));
  CapturedStep step(optimizer, {.budget = {.tokens = 10, .sequences = 2, .longest = 8}}, loss_of(model));
  const std::vector<std::vector<std::int32_t>> two = {{5, 6}, {7}}, long_one = {{1, 2, 3, 4, 5, 6, 7, 8, 9}};
  const auto refused = [&](const std::vector<std::vector<std::int32_t>>& ids, const torch::Tensor& labels) {
    return error_message([&] { step(pack(ids), labels); });
  };
  EXPECT_EQ(refused(long_one, torch::tensor({1})),
            "ShapeError: the batch has 9 tokens in 1 sequences of at most 9; the budget is 10 in 2 of at most 8. Make "
            "smaller batches or raise the budget");
  EXPECT_EQ(refused({}, torch::empty({0}, torch::kInt64)), "ShapeError: the batch has no sequence; leave it out");
  EXPECT_EQ(refused(two, torch::tensor({1})),
            "ShapeError: labels are [1] of type Long; give 2 of int64, one for each sequence");
  EXPECT_EQ(refused(two, torch::tensor({-100, -100})),
            "OptionError: no label of the batch is judged: all are -100; leave it out");
  EXPECT_EQ(difference(*model, *model_of<BertForSequenceClassification>("bert")), 0.0);

  EXPECT_EQ(error_message([&] { CapturedStep(optimizer, {}, loss_of(model)); }),
            "OptionError: a budget of 0 tokens in 0 sequences of at most 0; choose each at least 1");
  EXPECT_EQ(error_message([&] { CapturedStep(optimizer, {.budget = budget, .clip_norm = 0.0}, loss_of(model)); }),
            "OptionError: clip_norm is 0; it must be above 0");
  EXPECT_EQ(error_message([&] { CapturedStep(optimizer, {.budget = budget}, nullptr); }),
            "OptionError: a captured step was given no loss function");
}

TEST(CapturedStep, RefusesToRecordACountOfTheHost) {
  auto model = model_of<BertForSequenceClassification>("bert");
  AdamW optimizer(groups(*model));
  detail::BatchInPlace place({.budget = budget}, torch::kCPU);
  place.load(batches()[0].tokens, batches()[0].labels);
  const CapturedStep::LossOf counts_rows = [&](const PackedBatch& batch, const torch::Tensor& labels) {
    return Loss{cross_entropy(model(batch), labels).sum, static_cast<double>(labels.size(0))};
  };
  EXPECT_EQ(
      error_message([&] { detail::gradients_of_batch(optimizer, 1.0, counts_rows, place.batch(), place.labels()); }),
      "OptionError: the loss counts 9 on the host, which would be the count of every step and holds padding; "
      "count judged labels in a tensor, as cross_entropy() does");
}

}  // namespace
}  // namespace graft
