#include <memory>
#include <set>
#include <utility>

#include <torch/types.h>

#include "encoder_training.hpp"
#include "graft/core/error.hpp"
#include "graft/rag/text_pairs.hpp"
#include "graft/retrieval/exact.hpp"
#include "graft/training/progress.hpp"
#include "graft/training/ranking_loss.hpp"
#include "query_side.hpp"

namespace {

std::vector<float> numbers_of(const torch::Tensor& vectors) {
  const float* from = vectors.const_data_ptr<float>();
  return {from, from + vectors.numel()};
}

torch::Tensor tensor_of(const std::vector<graft::DocumentId>& documents) {
  return torch::tensor(std::vector<std::int64_t>(documents.begin(), documents.end()));
}

/// What is stored of the held-out questions' documents is nobody's rival.
torch::Tensor left_out(const QuerySide& side) {
  std::set<graft::DocumentId> documents;
  for (const graft::StoreQuestion& question : side.data.held_out.questions)
    documents.insert(question.right.begin(), question.right.end());
  torch::Tensor out = torch::zeros({static_cast<std::int64_t>(side.stored.documents.size())}, torch::kBool);
  auto* mark = out.mutable_data_ptr<bool>();
  for (const graft::DocumentId document : side.stored.documents) *mark++ = documents.contains(document);
  return out;
}

}  // namespace

TrainedSide train_adapter(const QuerySide& side) {
  const FinetuneOptions& options = side.options;
  if (side.stored.space.metric == graft::Metric::euclidean)
    throw graft::OptionError(
        "vectors of this model are compared by Euclidean distance, for which no adapter is trained; "
        "train a map, with --method map");
  graft::SentenceEncoder encoder(side.directory);
  TrainedSide out;
  out.name = "adapter";
  out.parameters = make_trainable(encoder, options);

  std::vector<std::string> questions, held_out;
  std::vector<std::int64_t> right;
  for (const auto& [question, answer] : side.training) {
    questions.push_back(side.question(question).text);
    right.push_back(static_cast<std::int64_t>(answer));
  }
  for (const graft::StoreQuestion& question : side.data.held_out.questions) held_out.push_back(question.text);
  const auto width = side.stored.space.width;
  const torch::Tensor stored = torch::from_blob(const_cast<float*>(side.stored.numbers.data()),
                                                {static_cast<std::int64_t>(side.stored.passages.size()), width});
  const auto similarity =
      side.stored.space.metric == graft::Metric::cosine ? graft::Similarity::cosine : graft::Similarity::dot;
  const graft::StoredSoftmax loss(stored,
                                  {.scale = options.scale.value_or(graft::StoredSoftmaxOptions().scale),
                                   .similarity = similarity,
                                   .same_above = options.same_above},
                                  tensor_of(side.stored.documents), left_out(side));
  const graft::AnsweredTexts data(questions, right, *encoder);

  graft::ExactIndex index(side.stored.space, {.threads = options.threads});
  index.add(side.stored.passages, side.stored.numbers);
  const auto quality = [&](const std::vector<float>& vectors) {
    return mean(judge_vectors("", rank_vectors(side.stored, index, side.data.held_out.questions, vectors)));
  };
  const auto vectors_now = [&] { return numbers_of(embed(encoder, held_out, encoder->query_prompt())); };
  const double before = quality(
      numbers_of(torch::tensor(std::vector<float>(side.held_out_vectors().begin(), side.held_out_vectors().end()))));
  Blend blend(encoder, options.method);
  graft::Trainer trainer(*encoder, trainer_options(options, 5e-4, 5, *side.stop));
  trainer.add(std::make_shared<graft::ProgressBar>("adapter"));
  const graft::TrainingResult result = trainer.train(
      data,
      [&](const graft::AnsweredTexts::Batch& batch) {
        return loss(encoder(batch.questions, data.question_prompt()), batch.right);
      },
      [&] {
        return graft::Scores{{"ndcg@10", quality(vectors_now())}};
      });
  out.stopped = result.reason == graft::StopReason::interrupted;
  if (out.stopped) return out;
  out.seconds = result.training_seconds;

  blend.trained();
  const Share share = best_share(before, options.blend, [&](double part) {
    blend.set(part);
    return quality(vectors_now());
  });
  blend.set(share.best);
  out.helps = share.after > before;
  out.held_out = vectors_now();
  out.report = json_of(result);
  out.report["blend"] = share.best;
  out.said = graft::message("held-out nDCG@10 ", before, " before, ", share.after, " after; blend ", share.best);
  out.save = [encoder, &options, directory = side.directory, held_out, print = data.fingerprint()]() mutable {
    return save_encoder(encoder, options, directory, print, held_out);
  };
  return out;
}
