#include "training.hpp"

#include <memory>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/models/save.hpp"
#include "graft/training/progress.hpp"
#include "graft/training/trainer.hpp"

bool train_answers(const std::string& title, graft::CausalLM& model, const graft::ChatExamples& examples,
                   const TrainingRun& options, const graft::InterruptFlag& interrupt) {
  graft::TrainerOptions trainer;
  trainer.length = graft::Epochs{options.epochs};
  trainer.batch = graft::Sequences{options.batch_size};
  trainer.lr = options.lr;
  trainer.warmup = graft::Share{0.06};
  trainer.seed = options.seed;
  trainer.stop = &interrupt.flag();
  graft::Trainer run(*model, trainer);
  run.add(std::make_shared<graft::ProgressBar>(title));
  const graft::TrainingResult result = run.train(examples, [&](const graft::ChatExamples::Batch& batch) {
    const graft::TokenPredictions learned = model->predictions(batch.tokens, batch.labels);
    return graft::cross_entropy(learned.logits, learned.targets);
  });
  model->eval();
  return result.reason != graft::StopReason::interrupted;
}

void save_full(const std::filesystem::path& directory, const graft::CausalLM& model, const std::string& original,
               bool overwrite) {
  graft::save_pretrained(directory, model, {.tokenizer_from = original, .replace = overwrite});
}

void save_lora(const std::filesystem::path& directory, graft::CausalLM& model, const std::string& original,
               bool overwrite) {
  graft::save_adapter(directory, *model, "default",
                      {.base_model = original, .task_type = "CAUSAL_LM", .replace = overwrite});
}
