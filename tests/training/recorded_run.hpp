#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "graft/training/trainer.hpp"
#include "training/small_task.hpp"

namespace graft_test {

/// Keeps all that it is told.
struct Recorder : graft::TrainingCallback {
  void on_begin(const graft::RunPlan& plan) override { plans.push_back(plan); }
  void on_step(const graft::StepRecord& step) override { steps.push_back(step); }
  void on_evaluation(const graft::EvaluationRecord& evaluation) override { evaluations.push_back(evaluation); }
  void on_end(const graft::TrainingResult& result) override { results.push_back(result); }

  std::vector<double> losses() const {
    std::vector<double> all;
    for (const auto& step : steps) all.push_back(step.loss);
    return all;
  }

  std::vector<graft::RunPlan> plans;
  std::vector<graft::StepRecord> steps;
  std::vector<graft::EvaluationRecord> evaluations;
  std::vector<graft::TrainingResult> results;
};

struct Trained {
  std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
  graft::TrainingResult result;
};

inline Trained train(SmallNet& net, const SmallTask& task, const graft::TrainerOptions& options,
                     const std::function<graft::Scores()>& evaluate = {}) {
  Trained trained;
  graft::Trainer trainer(*net, options);
  trainer.add(trained.recorder);
  trained.result = trainer.train(
      task, [&](const SmallTask::Batch& batch) { return net->loss(batch); }, evaluate);
  return trained;
}

}  // namespace graft_test
