#include <chrono>
#include <cstdint>
#include <map>
#include <utility>

#include "graft/core/console.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "query_side.hpp"

namespace {

std::map<std::string, std::string> training_notes(const QuerySide& side, const graft::QueryMapOptions& options,
                                                  const graft::QueryMapResult& result) {
  return {{"questions", std::to_string(side.data.training.questions.size())},
          {"held_out_questions", std::to_string(side.data.held_out.questions.size())},
          {"epochs", std::to_string(result.epochs.size())},
          {"best_epoch", std::to_string(result.best_epoch)},
          {"blend", graft::message(result.blend)},
          {"scale", graft::message(options.scale)},
          {"same_above", graft::message(options.same_above)},
          {"lr", graft::message(options.lr)},
          {"batch", std::to_string(options.batch)},
          {"seed", std::to_string(options.seed)},
          {"held_out_ndcg_before", graft::message(result.before)},
          {"held_out_ndcg_after", graft::message(result.after)}};
}

}  // namespace

TrainedSide train_map(const QuerySide& side) {
  const FinetuneOptions& options = side.options;
  ProgressLine line;
  graft::QueryMapOptions settings{

      .same_above = options.same_above, .batch = options.batch, .seed = options.seed, .threads = options.threads};
  settings.patience = options.patience == 0 ? SIZE_MAX : options.patience;
  settings.scale = options.scale.value_or(settings.scale);
  settings.epochs = options.epochs.value_or(settings.epochs);
  settings.lr = options.lr.value_or(settings.lr);
  settings.blend = options.blend;
  settings.stop = [&] { return side.stop->load(); };
  settings.progress = [&](const graft::QueryMapProgress& now) {
    line.show(static_cast<double>(now.step) / static_cast<double>(now.steps),
              graft::message("epoch ", now.epoch, "  loss ", now.loss));
  };
  const auto start = std::chrono::steady_clock::now();
  graft::QueryMapResult result = graft::train_query_map({.space = side.stored.space,
                                                         .questions = side.vectors,
                                                         .answers = side.stored.numbers,
                                                         .documents = side.stored.documents,
                                                         .training = side.training,
                                                         .held_out = side.held_out},
                                                        settings);
  TrainedSide out;
  out.name = "map";
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  line.clear();
  out.stopped = result.stopped;
  if (result.stopped) return out;
  out.helps = result.best_epoch > 0;
  const graft::QueryMap map(side.stored.space, result.map.weights(), training_notes(side, settings, result));
  out.held_out = map.apply(side.held_out_vectors());
  out.parameters = map.weights().size();
  out.save = [map, path = options.out] {
    map.save(path);
    return map.fingerprint();
  };
  graft::Json epochs = graft::Json::array();
  for (std::size_t e = 0; e < result.epochs.size(); ++e) {
    const auto& [loss, held_out] = result.epochs[e];
    epochs.push_back({{"loss", loss}, {"held_out_ndcg_at_10", held_out}});
    char text[100];
    std::snprintf(text, sizeof text, "epoch %zu: loss %.4f, held-out nDCG@10 %.4f\n", e + 1, loss, held_out);
    out.said += text;
  }
  out.said += graft::message(result.same, " answers taken for the same as a right one; kept: epoch ", result.best_epoch,
                             ", blend ", result.blend);
  out.report = {
      {"epochs", epochs}, {"best_epoch", result.best_epoch}, {"blend", result.blend}, {"same_answers", result.same}};
  return out;
}
