#pragma once

#include <cstdint>
#include <vector>

#include "data.hpp"
#include "graft/training/callback.hpp"
#include "language.hpp"

/// Shows at each evaluation what the model now says to a few questions, so that one sees it learn.
class SampleAnswers : public graft::TrainingCallback {
 public:
  /// `language` must outlive it.
  SampleAnswers(Language& language, std::vector<Asked> questions);

  void on_begin(const graft::RunPlan&) override { show("before training"); }
  void on_evaluation(const graft::EvaluationRecord& evaluation) override;

 private:
  void show(const std::string& when);

  Language& language_;
  std::vector<Asked> questions_;
  std::vector<std::vector<std::int32_t>> prompts_;
};
