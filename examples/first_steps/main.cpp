// The file to copy: teaches a pretrained BERT to tell good reviews from bad ones, saves what it learned, reads it back.
//
//   first_steps MODEL TRAIN.tsv TEST.tsv OUT      (columns "text" and "label"; ./run demo leaves such files in
//   build/demo)
#include <cstdio>
#include <memory>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/labels.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/load.hpp"
#include "graft/text/tokenizer.hpp"
#include "graft/training/labelled_texts.hpp"
#include "graft/training/progress.hpp"
#include "graft/training/trainer.hpp"

using namespace graft;
using Classifier = BertForSequenceClassification;

int main(int argc, char** argv) try {
  if (argc != 5) throw OptionError("usage: first_steps MODEL TRAIN.tsv TEST.tsv OUT");
  const std::string directory = argv[1], out = argv[4];

  // Texts become token ids, labels numbers.
  const Tokenizer tokenizer = Tokenizer::load(directory);
  const std::vector<LabelledText> rows = read_labelled(argv[2]);
  const std::vector<std::string> labels = distinct_labels(rows);
  const LabelledTexts train(rows, labels, tokenizer, /*max_length=*/64);
  const LabelledTexts test(read_labelled(argv[3]), labels, tokenizer, /*max_length=*/64);

  // The pretrained model stays frozen; beside it low-rank adapters and a new head learn. No attach(): all of it learns.
  torch::manual_seed(0);
  auto [model, report] = load_pretrained<Classifier>(directory, {.labels = labels});
  attach(*model, LoraOptions{.rank = 8, .alpha = 16}, {.layers = {"query", "value"}, .drawn = report.lacking});

  Trainer trainer(*model, {.length = Epochs{2}, .batch = Sequences{16}, .lr = 2e-3, .warmup = Share{0.06}});
  trainer.add(std::make_shared<ProgressBar>("first steps"));
  trainer.train(train,
                [&](const LabelledTexts::Batch& batch) { return cross_entropy(model(batch.tokens), batch.labels); });
  const double accuracy = judge(model, test).accuracy();
  std::printf("%.1f %% of %lld texts it never saw\n", 100 * accuracy, static_cast<long long>(test.size()));

  // A megabyte or less, which PEFT opens too.
  save_adapter(out, *model, "default",
               {.base_model = directory, .task_type = "SEQ_CLS", .metadata = labels_metadata(labels)});

  // Later, in another program: the same model, and the adapter from its directory.
  Classifier again = load_pretrained<Classifier>(directory, {.labels = adapter_labels(out)}).model;
  load_adapter(out, *again);
  if (judge(again, test).accuracy() != accuracy)
    throw StateError(out + " does not judge as it did before it was saved");
  again->eval();
  const std::vector<std::vector<std::int32_t>> ids = {tokenizer.encode("A film of rare warmth, and funny too.").ids};
  const auto best = again(pack(ids)).argmax(1).item<std::int64_t>();
  std::printf("A film of rare warmth, and funny too. -> %s\n", again->config().labels[best].c_str());
} catch (const std::exception& error) {
  std::fprintf(stderr, "first_steps: %s\n", error.what());
  return 1;
}
