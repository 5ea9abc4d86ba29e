#include "rerank.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/lora.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/core/console.hpp"
#include "graft/core/output.hpp"
#include "graft/core/usage.hpp"
#include "graft/training/calibration.hpp"
#include "graft/training/interrupt.hpp"
#include "graft/training/progress.hpp"
#include "graft/training/read_back.hpp"
#include "graft/training/rerank_loss.hpp"
#include "graft/training/trainer.hpp"
#include "rerank_data.hpp"

namespace {

/// Throws now what would be thrown after the training.
void check(const RerankTraining& options) {
  graft::check_output_apart(options.out, {options.model, options.encoder, options.store, options.pairs,
                                          options.held_out_pairs, options.queries, options.relevant});
  graft::OutputDirectory(options.out, options.overwrite);
}

graft::TrainerOptions trainer_options(const RerankTraining& options, const graft::InterruptFlag& interrupt) {
  graft::TrainerOptions trainer;
  trainer.length = graft::Epochs{options.epochs};
  trainer.batch = graft::Sequences{options.batch};
  trainer.lr = options.lr.value_or(options.lora ? 5e-4 : 5e-5);
  trainer.warmup = graft::Share{0.1};
  trainer.best_by = {.score = "ndcg_at_10", .higher_is_better = true};
  trainer.keep_best = true;
  trainer.seed = options.seed;
  trainer.stop = &interrupt.flag();
  return trainer;
}

graft::Loss loss_of(const RerankTraining& options, const graft::CrossEncoderModel& model,
                    const graft::RankedTexts::Batch& batch) {
  const torch::Tensor logits = model.logits(batch.tokens).to(torch::kFloat32);
  const torch::Tensor grades = batch.grades.to(logits.device());
  if (options.pointwise)
    return graft::pointwise_cross_entropy(logits, grades, {.positive_weight = static_cast<double>(options.negatives)});
  constexpr double kSharp = 20;  // all of a list's target is on what is right
  return graft::listwise_cross_entropy(logits, grades, batch.offsets, {.grade_scale = kSharp});
}

/// Makes scores chances, by the logits of all candidates. What was found, and a note for people.
graft::Json calibrate(graft::CrossEncoderModel& model, const std::vector<Candidates>& candidates,
                      const std::vector<double>& logits, std::string& said) {
  std::vector<std::uint8_t> right;
  for (const Candidates& of_question : candidates)
    right.insert(right.end(), of_question.right.begin(), of_question.right.end());
  const graft::LogisticScale scale = graft::fit_logistic_scale(logits, right);
  if (!(scale.slope > 0)) {
    said = "not calibrated: on the held-out questions a higher score does not mean a better passage";
    return nullptr;
  }
  model.rescale(scale.slope, scale.intercept);
  said = graft::message("calibrated on ", logits.size(), " passages of held-out questions: log loss ",
                        scale.loss_before, " before, ", scale.loss, " after");
  return {{"slope", scale.slope},
          {"intercept", scale.intercept},
          {"log_loss_before", scale.loss_before},
          {"log_loss", scale.loss},
          {"passages", logits.size()}};
}

/// Throws StateError unless what was saved gives the scores of what was trained. Gives how many were compared.
std::size_t check_saved(const std::string& out, const graft::CrossEncoderModel& model,
                        const std::vector<graft::StoreQuestion>& questions, const std::vector<Candidates>& candidates) {
  const graft::CrossEncoder trained(model), saved(out);
  std::vector<double> ours, theirs;
  constexpr std::size_t kCompared = 64;
  for (std::size_t i = 0; i < questions.size() && ours.size() < kCompared; ++i) {
    const auto texts = std::span(candidates[i].texts).first(std::min<std::size_t>(8, candidates[i].texts.size()));
    const std::vector<double> a = trained.logits(questions[i].text, texts), b = saved.logits(questions[i].text, texts);
    ours.insert(ours.end(), a.begin(), a.end());
    theirs.insert(theirs.end(), b.begin(), b.end());
  }
  if (!ours.empty()) graft::check_read_back(torch::tensor(ours), torch::tensor(theirs), out);
  return ours.size();
}

int stopped() {
  std::fprintf(stderr, "retriever_finetune: stopped; nothing was written\n");
  return 130;
}

/// What training came to; without any the reranker is as it was.
struct Trained {
  Reranked reranked = {};
  graft::Json epochs = graft::Json::array();  // nDCG@10 of the held-out questions after each
  graft::NegativesReport mined = {};
  std::int64_t questions = 0, pairs = 0, cut = 0, parameters = 0;
  graft::TrainingResult result = {};
};

/// Keeps the best epoch. Throws Stopped.
Trained train_model(const RerankTraining& options, const graft::InterruptFlag& interrupt,
                    graft::CrossEncoderModel& model, RerankData& data, const std::vector<Candidates>& candidates) {
  Trained out;
  const std::vector<graft::StoreQuestion>& questions = data.data().held_out.questions;
  const graft::RankedTexts lists(data.training_lists(out.mined), model.tokenizer(), model.max_tokens());
  if (lists.size() == 0)
    throw graft::OptionError(
        graft::message("no question has a wrong passage that the search takes for an answer; raise --last-rank, or "
                       "index more documents"));
  if (!options.json) print_report(out.mined);
  if (options.lora) {
    const std::string table =
        graft::attach(model.module(), options.lora_options, {.layers = {"all-linear"}, .drawn = model.drawn()}).table();
    if (!options.json) std::fputs(table.c_str(), stdout);
  }
  const graft::ParameterCount parameters = graft::count_parameters(model.module()).all;
  if (!options.json)
    std::printf("%lld questions with %lld passages to train on, %zu held out; %s of %s parameters are trained\n",
                static_cast<long long>(lists.size()), static_cast<long long>(lists.pairs()), questions.size(),
                graft::grouped_digits(parameters.trained).c_str(), graft::grouped_digits(parameters.total()).c_str());
  std::fflush(stdout);
  out.questions = lists.size(), out.pairs = lists.pairs(), out.cut = lists.cut(), out.parameters = parameters.trained;

  graft::Trainer trainer(model.module(), trainer_options(options, interrupt));
  trainer.add(std::make_shared<graft::ProgressBar>(options.lora ? "lora" : "full"));
  out.result = trainer.train(
      lists, [&](const graft::RankedTexts::Batch& batch) { return loss_of(options, model, batch); },
      [&] {
        Reranked now =
            judge_reranked("after training", questions, candidates, graft::CrossEncoder(model), interrupt.flag());
        const double ndcg = mean(now.joined);
        if (out.epochs.empty() || ndcg > mean(out.reranked.joined)) out.reranked = std::move(now);
        out.epochs.push_back(ndcg);
        return graft::Scores{{"ndcg_at_10", ndcg}};
      });
  if (out.result.reason == graft::StopReason::interrupted) throw Stopped();
  model.module().eval();
  if (options.lora) graft::merge(model.module());
  return out;
}

int train(const RerankTraining& options, const graft::InterruptFlag& interrupt) {
  const std::atomic<bool>& stop = interrupt.flag();
  check(options);
  torch::manual_seed(options.seed);
  graft::CrossEncoderModel model(options.model, {.max_tokens = options.max_tokens, .new_head = true});
  const bool fresh = !model.drawn().empty();
  if (fresh && options.epochs == 0)
    throw graft::OptionError(graft::message("--epochs 0 trains nothing, but ", graft::quoted(options.model),
                                            " has no head that gives scores; choose 1 or more"));
  if (options.calibrate && model.activation() != "torch.nn.modules.activation.Sigmoid")
    throw graft::OptionError(
        graft::message("--calibrate makes chances of the logistic function's scores; the activation of this model is ",
                       model.activation()));
  RerankData data(options, stop);
  print_left_out(data.data());
  const std::vector<graft::StoreQuestion>& questions = data.data().held_out.questions;
  const std::vector<Candidates> candidates = data.candidates();
  std::vector<Judged> all = {judge_search(candidates)};
  Trained trained;
  const auto add = [&] { all.insert(all.end(), {trained.reranked.alone, trained.reranked.joined}); };
  if (!fresh) {
    const char* when = options.epochs == 0 ? "not trained" : "before training";
    trained.reranked = judge_reranked(when, questions, candidates, graft::CrossEncoder(model), stop);
    add();
  }
  if (options.epochs > 0) {
    trained = train_model(options, interrupt, model, data, candidates);
    add();
  }

  const Judged &before = all.front(), &after = all.back();
  const bool helps = mean(after) > mean(before);
  std::string calibrated;
  graft::Json calibration;
  std::size_t compared = 0;
  std::uintmax_t bytes = 0;
  model.set_rerank_weights(trained.reranked.weights);
  if (helps) {
    if (options.calibrate) calibration = calibrate(model, candidates, trained.reranked.logits, calibrated);
    model.save(options.out, options.overwrite);
    compared = check_saved(options.out, model, questions, candidates);
    bytes = graft::bytes_on_disk(options.out, ".safetensors");
  }
  const graft::RerankWeights& weights = model.rerank_weights();
  const graft::TrainingResult& result = trained.result;
  if (options.json) {
    graft::Json list = graft::Json::array();
    for (const Judged& judged : all) list.push_back(json_of(judged));
    const graft::Json report = {
        {"method", options.lora ? "lora" : "full"},
        {"loss", options.pointwise ? "pointwise" : "listwise"},
        {"new_head", fresh},
        {"questions", trained.questions},
        {"pairs", trained.pairs},
        {"cut_pairs", trained.cut},
        {"held_out", questions.size()},
        {"depth", options.depth},
        {"left_out", data.data().training.left_out + data.data().held_out.left_out},
        {"bad_rows", data.data().bad_rows},
        {"leaking_rows", data.data().leaking_rows},
        {"negatives", json_of(trained.mined)},
        {"trained_parameters", trained.parameters},
        {"steps", result.steps},
        {"train_loss", result.loss},
        {"tokens", result.tokens},
        {"seconds", result.training_seconds},
        {"held_out_ndcg_at_10", trained.epochs},
        {"quality", list},
        {"rerank_weights", {{"reranker", weights.reranker}, {"vector", weights.vector}, {"word", weights.word}}},
        {"change", changes_json(questions, before, after)},
        {"calibration", calibration},
        {"written", helps ? graft::Json(options.out) : graft::Json()},
        {"saved_bytes", bytes},
        {"peak_rss_bytes", graft::peak_memory_bytes()}};
    std::printf("%s\n", report.dump(2).c_str());
    return 0;
  }
  if (options.epochs > 0) std::printf("trained in %.0f s; loss %.4f\n\n", result.training_seconds, result.loss);
  std::printf(
      "The first %zu hits of each held-out question, which chose epoch and weights; rag eval judges by others. In the "
      "order of:\n",
      options.depth);
  print_table(all);
  std::printf("\n");
  print_changes(questions, before, after);
  if (!helps) {
    std::printf("\nit ranks the held-out questions no better than the search does; nothing was written\n");
    return 0;
  }
  if (weights.alone())
    std::printf("the reranker decides alone: with the search's scores it does no better\n");
  else
    std::printf("joined: %.4g of the reranker's logit, %.4g of the similarity by vector, %.4g of the score by word\n",
                weights.reranker, weights.vector, weights.word);
  if (!calibrated.empty()) std::printf("%s\n", calibrated.c_str());
  std::printf(
      "\nwritten: %s, %ju bytes; read back, it gives the same scores to %zu passages:\n  rag search \"...\" --store %s "
      "--rerank %s\n",
      options.out.c_str(), bytes, compared, options.store.c_str(), options.out.c_str());
  return 0;
}

}  // namespace

int run_rerank_training(const RerankTraining& options) {
  const graft::InterruptFlag interrupt;
  try {
    return train(options, interrupt);
  } catch (const Stopped&) {
    return stopped();
  }
}
