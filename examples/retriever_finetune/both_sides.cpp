#include <algorithm>
#include <cstdio>
#include <memory>
#include <unordered_map>
#include <utility>

#include <ATen/Parallel.h>

#include "data.hpp"
#include "encoder_training.hpp"
#include "graft/core/usage.hpp"
#include "graft/rag/text_pairs.hpp"
#include "graft/retrieval/exact.hpp"
#include "graft/training/grad_cache.hpp"
#include "graft/training/interrupt.hpp"
#include "graft/training/progress.hpp"
#include "graft/training/ranking_loss.hpp"
#include "judge.hpp"

namespace {

/// Held-out questions and the texts among which their answers are looked for: all held-out answers, and some of those
/// that are trained on.
class Judge {
 public:
  Judge(const PairRows& rows, std::size_t others) {
    const auto number = [&](const std::string& text) {
      const auto [found, is_new] = numbers_.emplace(text, static_cast<graft::DocumentId>(answers_.size() + 1));
      if (is_new) answers_.push_back(text);
      return found->second;
    };
    for (const graft::QuestionPairs& row : rows.held_out) {
      questions_.push_back({.text = row.question});
      texts_.push_back(row.question);
      for (const std::string& text : row.positives) questions_.back().right.push_back(number(text));
    }
    const std::size_t most = answers_.size() + others;
    for (const graft::QuestionPairs& row : rows.training)
      for (const std::string& text : row.positives)
        if (answers_.size() < most) number(text);
  }

  /// nDCG@10 of each question as the encoder finds them now.
  Judged judge(const std::string& name, graft::SentenceEncoder& encoder) const {
    const torch::Tensor questions = embed(encoder, texts_, encoder->query_prompt());
    const torch::Tensor answers = embed(encoder, answers_, encoder->document_prompt());
    StoredVectors stored{{"trained", encoder->width(), encoder->metric()}, {}, {}, {}};
    for (std::size_t i = 1; i <= answers_.size(); ++i) {
      stored.passages.push_back(static_cast<graft::PassageId>(i));
      stored.documents.push_back(static_cast<graft::DocumentId>(i));
    }
    stored.numbers.assign(answers.const_data_ptr<float>(), answers.const_data_ptr<float>() + answers.numel());
    graft::ExactIndex index(stored.space, {});
    index.add(stored.passages, stored.numbers);
    return judge_vectors(
        name, rank_vectors(stored, index, questions_,
                           {questions.const_data_ptr<float>(), static_cast<std::size_t>(questions.numel())}));
  }

  const std::vector<graft::StoreQuestion>& questions() const { return questions_; }
  const std::vector<std::string>& texts() const { return texts_; }
  std::size_t answers() const { return answers_.size(); }

 private:
  std::vector<graft::StoreQuestion> questions_;
  std::vector<std::string> texts_, answers_;
  std::unordered_map<std::string, graft::DocumentId> numbers_;
};

/// Vectors of a batch, `part` texts at a time if it has more.
torch::Tensor vectors_of(graft::SentenceEncoder& encoder, const graft::PackedBatch& batch, std::int64_t prompt,
                         std::int64_t part) {
  const std::int64_t texts = batch.sequences();
  if (part == 0 || part >= texts || !torch::GradMode::is_enabled()) return encoder(batch, prompt);
  return graft::grad_cached((texts + part - 1) / part, [encoder, batch, prompt, part, texts](std::int64_t i) mutable {
    return encoder(graft::sequences(batch, i * part, std::min(texts, (i + 1) * part)), prompt);
  });
}

}  // namespace

int run_both_sides(const FinetuneOptions& options) {
  const graft::InterruptFlag interrupt;
  check_out_directory(options, options.model);
  const PairRows rows = read_pair_rows(options);
  print_left_out(rows);
  graft::SentenceEncoder encoder(options.model);
  if (encoder->metric() == graft::Metric::euclidean)
    throw graft::OptionError(
        "vectors of this model are compared by Euclidean distance, which is not trained for; take "
        "one that compares by cosine or inner product");
  const Judge judge(rows, 2000);
  const graft::TextPairs data(rows.training, *encoder,
                              {.max_tokens = options.max_tokens, .negatives = options.negatives});
  std::fprintf(stderr, "%lld pairs to train on; %zu questions held out, judged among %zu texts\n",
               static_cast<long long>(data.size()), judge.questions().size(), judge.answers());
  const Judged before = judge.judge("before", encoder);

  const std::size_t parameters = make_trainable(encoder, options);
  Blend blend(encoder, options.method);
  const graft::InBatchSoftmaxOptions softmax{
      .scale = options.scale.value_or(20),
      .similarity = encoder->metric() == graft::Metric::cosine ? graft::Similarity::cosine : graft::Similarity::dot};
  const bool is_full = options.method == Method::full;
  graft::Trainer trainer(*encoder, trainer_options(options, is_full ? 5e-5 : 5e-4, 1, interrupt.flag()));
  trainer.add(std::make_shared<graft::ProgressBar>(is_full ? "encoder" : "adapter"));
  const auto part = static_cast<std::int64_t>(options.part);
  const graft::TrainingResult result = trainer.train(
      data,
      [&](const graft::TextPairs::Batch& batch) {
        return graft::in_batch_softmax(vectors_of(encoder, batch.questions, data.question_prompt(), part),
                                       vectors_of(encoder, batch.answers, data.answer_prompt(), part), batch.not_rivals,
                                       softmax);
      },
      [&] {
        return graft::Scores{{"ndcg@10", mean(judge.judge("", encoder))}};
      });
  if (result.reason == graft::StopReason::interrupted) {
    std::fprintf(stderr, "retriever_finetune: stopped; nothing was written\n");
    return 130;
  }
  blend.trained();
  if (options.blend) blend.set(*options.blend);
  const Judged after = judge.judge("after", encoder);
  const bool helps = mean(after) > mean(before);
  const std::string name =
      helps ? save_encoder(encoder, options, options.model, data.fingerprint(), judge.texts()) : "";

  const bool is_adapter = options.method == Method::lora && !options.merge;
  const long long bytes = helps ? graft::bytes_on_disk(options.out) : 0;
  if (options.json) {
    graft::Json report = {{"pairs", data.size()},
                          {"held_out", judge.questions().size()},
                          {"judged_among", judge.answers()},
                          {"bad_rows", rows.bad_rows},
                          {"leaking_rows", rows.leaking_rows},
                          {"seconds", result.training_seconds},
                          {"trained_parameters", parameters},
                          {"written", helps ? graft::Json(options.out) : graft::Json()},
                          {"saved_bytes", bytes},
                          {"model", name},
                          {"blend", options.blend.value_or(1)},
                          {"quality", {json_of(before), json_of(after)}},
                          {"by_vector", changes_json(judge.questions(), before, after)}};
    report.update(json_of(result));
    std::printf("%s\n", report.dump(2).c_str());
    return 0;
  }
  std::printf("trained %zu numbers in %.1f s\n\nOn the held-out questions; rag eval judges by others:\n", parameters,
              result.training_seconds);
  print_table(std::vector{before, after});
  std::printf("\n");
  print_changes(judge.questions(), before, after);
  if (!helps)
    std::printf("\nit did no better on the held-out questions than before; nothing was written\n");
  else if (is_adapter)
    std::printf("\nwritten: %s, %lld bytes, an adapter of both sides\n", options.out.c_str(), bytes);
  else
    std::printf(
        "\nwritten: %s, %lld bytes; its vectors are new: index the documents with it\n"
        "  rag index DIR --store NEW.db --model %s\n",
        options.out.c_str(), bytes, options.out.c_str());
  return 0;
}
