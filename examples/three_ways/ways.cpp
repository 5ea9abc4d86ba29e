#include "ways.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include <ATen/Parallel.h>

#include <nlohmann/json.hpp>

#include "../rag/progress.hpp"
#include "graft/adapters/attach.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/output.hpp"
#include "graft/core/usage.hpp"
#include "graft/models/language_model.hpp"
#include "graft/models/load.hpp"
#include "graft/rag/answer_score.hpp"
#include "graft/rag/embedder.hpp"
#include "graft/rag/local_generator.hpp"
#include "graft/rag/prompt.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/training/read_back.hpp"
#include "library.hpp"
#include "training.hpp"

namespace {

graft::ChatFormat format_of(const graft::Tokenizer& tokenizer, const ThreeWaysOptions& options) {
  return options.chat_format.empty() ? graft::ChatFormat::of_vocabulary(tokenizer)
                                     : graft::ChatFormat::of_family(options.chat_format);
}

class Way {
 public:
  Way(std::string key, const ThreeWaysOptions& options, const Facts& facts, const graft::InterruptFlag& interrupt)
      : key_(std::move(key)), options_(options), facts_(facts), interrupt_(interrupt) {}

  /// Prepares, asks, and gives the report of both.
  graft::Json run() {
    prepare();
    graft::Json report = {{"way", key_},
                          {"trained_parameters", trained_},
                          {"stored_bytes", stored_bytes()},
                          {"prepare_seconds", prepare_seconds_},
                          {"add_seconds", add_seconds_ ? graft::Json(*add_seconds_) : graft::Json()},
                          {"peak_bytes", peak_bytes_},
                          {"answers", graft::Json::array()}};
    graft::LocalGenerator generator(options_.model, model_, tokenizer(), {.chat_format = options_.chat_format});
    ProgressLine line;
    for (std::size_t i = 0; i < facts_.questions.size(); ++i) {
      report["answers"].push_back(ask(generator, facts_.questions[i]));
      if (interrupt_.flag()) throw Interrupted();
      line.show(static_cast<double>(i + 1) / static_cast<double>(facts_.questions.size()),
                graft::message(key_, ": ", i + 1, " of ", facts_.questions.size(), " questions"));
    }
    line.clear();
    return report;
  }

 private:
  using Clock = std::chrono::steady_clock;

  bool trains_lora() const { return key_ == "lora" || key_ == "both"; }
  bool is_given() const { return key_ == "lora" && !options_.adapter.empty(); }
  bool retrieves() const { return key_ == "retrieval" || key_ == "both"; }
  std::filesystem::path place(const char* part) const { return options_.out / key_ / part; }
  std::int64_t stored_bytes() const {
    if (key_ == "base") return 0;
    return static_cast<std::int64_t>(graft::bytes_on_disk(is_given() ? options_.adapter : options_.out / key_));
  }
  graft::Tokenizer tokenizer() const { return graft::Tokenizer::load(options_.model); }

  graft::CausalLM base_model() const { return graft::load_language_model(options_.model).model; }

  void load_model() {
    if (!model_) model_ = base_model();
  }

  /// What a user will load must be what was trained: reads it and asks it the same.
  void check_saved() {
    const std::filesystem::path where = place(trains_lora() ? "adapter" : "model");
    graft::CausalLM saved = trains_lora() ? base_model() : graft::load_pretrained<graft::CausalLM>(where).model;
    if (trains_lora()) graft::load_adapter(where, *saved);
    const std::int64_t asked = graft::check_read_back(model_, saved, *examples_, where.string(), /*count=*/4);
    std::fprintf(stderr, "saved in %s; read back, it gives the same logits for %lld examples\n", where.c_str(),
                 static_cast<long long>(asked));
  }

  void prepare() {
    torch::manual_seed(options_.seed);
    const auto start = Clock::now();
    if (retrieves()) {
      std::filesystem::create_directories(options_.out / key_);
      for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(place("documents.db").string() + end);
      library_ = std::make_unique<Library>(place("documents.db"), options_.encoder);
      library_->add(facts_.documents, /*later=*/false);
    }
    if (is_given())
      take_adapter();
    else if (key_ == "full" || trains_lora())
      train();
    prepare_seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
    peak_bytes_ = graft::peak_memory_bytes();
    if (library_) {
      const auto before = Clock::now();
      library_->add(facts_.documents, /*later=*/true);
      add_seconds_ = std::chrono::duration<double>(Clock::now() - before).count();
    }
    load_model();
    model_->eval();
    if (examples_) check_saved();              // after what is measured: it holds two models
    if (trains_lora()) graft::merge(*model_);  // the model then answers at the plain one's speed
  }

  /// The adapter that the user has.
  void take_adapter() {
    load_model();
    graft::load_language_adapter(options_.adapter, model_, options_.model);
    trained_ = graft::count_parameters(*model_).all.trained;
  }

  void train() {
    load_model();
    if (trains_lora())
      graft::attach(*model_, {.rank = options_.rank, .alpha = options_.alpha}, {.layers = options_.targets});
    trained_ = graft::count_parameters(*model_).all.trained;
    const graft::Tokenizer words = tokenizer();
    const graft::LocalGenerator generator(options_.model, model_, words, {.chat_format = options_.chat_format});
    std::vector<std::vector<graft::ChatMessage>> conversations;
    for (const Exchange& exchange : facts_.train) {
      conversations.push_back(prompt(generator, exchange.question));
      conversations.back().push_back({graft::ChatRole::assistant, {{exchange.answer}}});
    }
    constexpr std::size_t most_tokens = 1024;
    examples_.emplace(conversations, format_of(words, options_), words, most_tokens);
    if (examples_->cut() > 0)
      std::fprintf(stderr, "note: %lld of %lld examples are cut to %zu tokens\n",
                   static_cast<long long>(examples_->cut()), static_cast<long long>(examples_->size()), most_tokens);
    TrainingRun run{.epochs = library_ ? options_.reading_epochs : options_.epochs,
                    .batch_size = options_.batch_size,
                    .lr = trains_lora() ? options_.lora_lr : options_.full_lr,
                    .seed = options_.seed};
    if (!train_answers(key_, model_, *examples_, run, interrupt_)) throw Interrupted();
    if (trains_lora())
      save_lora(place("adapter"), model_, options_.model, options_.overwrite);
    else
      save_full(place("model"), model_, options_.model, options_.overwrite);
  }

  /// What the model is asked: the question, below the passages that bear on it if this way looks any up.
  std::vector<graft::ChatMessage> prompt(const graft::Generator& generator, const std::string& question,
                                         std::vector<graft::Source>* sources = nullptr) {
    if (!library_) return {{graft::ChatRole::user, {{question, true}}}};
    graft::Prompt made = graft::make_prompt(question, library_->search(question, options_.top),
                                            graft::budget_beside(generator, options_.answer_tokens),
                                            {.instructions = "Answer in one line, with the words of the source."});
    if (sources) *sources = std::move(made.sources);
    return std::move(made.messages);
  }

  graft::Json ask(graft::LocalGenerator& generator, const Exchange& exchange) {
    const auto start = Clock::now();
    std::vector<graft::Source> sources;
    const std::string text =
        generator.generate(prompt(generator, exchange.question, &sources), {.max_tokens = options_.answer_tokens}).text;
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const std::set<std::string> terms = graft::key_terms(exchange.answer, exchange.question);
    graft::Json names = graft::Json::array();
    for (const graft::Source& source : sources) names.push_back(source.uri);
    return {{"question", exchange.question},
            {"when", exchange.later ? "after" : "before"},
            {"truth", exchange.answer},
            {"answer", text},
            {"f1", graft::token_f1(text, exchange.answer)},
            {"terms", graft::term_recall(text, terms)},
            {"sources", names},
            {"seconds", seconds}};
  }

  std::string key_;
  const ThreeWaysOptions& options_;
  const Facts& facts_;
  const graft::InterruptFlag& interrupt_;
  graft::CausalLM model_{nullptr};
  std::unique_ptr<Library> library_;
  std::optional<graft::ChatExamples> examples_;
  std::int64_t trained_ = 0, peak_bytes_ = 0;
  double prepare_seconds_ = 0;
  std::optional<double> add_seconds_;
};

}  // namespace

void check_ways(const ThreeWaysOptions& options) {
  format_of(graft::Tokenizer::load(options.model), options);
  graft::Embedder embedder(options.encoder);
  if (!options.adapter.empty()) graft::AdapterDir{options.adapter};
  for (const WayName& way : way_names) {
    graft::OutputDirectory(options.out / way.key / "model", options.overwrite);
    graft::OutputDirectory(options.out / way.key / "adapter", options.overwrite);
    const std::filesystem::path store = options.out / way.key / "documents.db";
    if (!graft::path_exists(store)) continue;
    if (!options.overwrite) throw graft::OptionError(store.string() + " is there already; see --overwrite");
    graft::SqliteStore{store};  // throws if it is none
  }
}

graft::Json run_way(const std::string& key, const ThreeWaysOptions& options, const Facts& facts,
                    const graft::InterruptFlag& interrupt) {
  graft::keep_freed_memory();
  at::set_num_threads(options.threads);
  try {
    return Way(key, options, facts, interrupt).run();
  } catch (const c10::Error& error) {
    throw std::runtime_error(error.what_without_backtrace());
  }
}
