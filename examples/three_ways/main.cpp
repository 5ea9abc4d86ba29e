// Gives a language model new facts in three ways, full fine-tuning, LoRA and retrieval, asks all of them the same
// questions, and reports what each costs and how well it answers.
//
//   three_ways --model MODEL --encoder DIR --train train.jsonl --documents documents.jsonl --questions questions.jsonl
//              --out DIR

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include <nlohmann/json.hpp>

#include "cli.hpp"
#include "graft/core/file.hpp"
#include "graft/core/output.hpp"
#include "graft/core/report.hpp"
#include "graft/version.hpp"
#include "page.hpp"
#include "process.hpp"
#include "report.hpp"
#include "ways.hpp"

namespace {

int say(const std::exception& error) {
  std::fprintf(stderr, "three_ways: %s\n", error.what());
  return 1;
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "an unnamed processor";
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[16] = {};
  std::strftime(text, sizeof(text), "%Y-%m-%d", std::gmtime(&now));
  return text;
}

/// A process of its own for `work`: 0 if it went well, 130 if it was interrupted.
int run_apart(const graft::InterruptFlag& interrupt, const std::function<void()>& work) {
  return in_own_process(interrupt, [&] {
    try {
      work();
      return 0;
    } catch (const Interrupted&) {
      return 130;
    } catch (const std::exception& error) {
      return say(error);
    }
  });
}

graft::Json report_of(const ThreeWaysOptions& options, const Facts& facts) {
  const auto count = [](const auto& list, bool later) {
    return std::count_if(list.begin(), list.end(), [&](const auto& one) { return one.later == later; });
  };
  graft::Json report = {
      {"model", std::filesystem::path(options.model).filename().string()},
      {"date", today()},
      {"facts", {{"before", count(facts.documents, false)}, {"after", count(facts.documents, true)}}},
      {"about", graft::message(facts.train.size(), " questions with answers were trained on for ", options.epochs,
                               " epochs in batches of ", options.batch_size, ", in full with learning rate ",
                               options.full_lr, ", LoRA of rank ", options.rank, " with ", options.lora_lr,
                               options.adapter.empty() ? "" : " (the adapter of LoRA alone was there already)",
                               ". Passages before a question: ", options.top, ". ", processor(), ", ", options.threads,
                               " threads, ", today(), ", graft " GRAFT_VERSION ".")},
      {"ways", graft::Json::array()}};
  for (const WayName& name : way_names) {
    const std::filesystem::path file = options.out / (std::string(name.key) + ".json");
    graft::Json way = graft::parse_json(graft::read_file(file, 64 << 20), file.string());
    way["title"] = name.title;
    add_quality(way);
    report["ways"].push_back(std::move(way));
  }
  return report;
}

/// Throws unless all that will be written may be.
void check_outputs(const ThreeWaysOptions& options) {
  for (const auto& input :
       {options.train, options.documents, options.questions, std::filesystem::path(options.model), options.adapter}) {
    for (const char* name : {"three_ways.json", "three_ways.html"})
      graft::check_output_apart(options.out / name, {input});
  }
  if (std::error_code error; !std::filesystem::create_directories(options.out, error) && error)
    throw graft::FileError(graft::message("cannot make the directory ", graft::quoted(options.out.string()), ": ",
                                          error.message(), "; name another --out"));
  for (const WayName& name : way_names)
    graft::check_report(options.out / (std::string(name.key) + ".json"), options.overwrite);
  graft::check_report(options.out / "three_ways.json", options.overwrite);
  const std::filesystem::path html = options.out / "three_ways.html";
  graft::OutputFile{html};
  if (!graft::path_exists(html)) return;
  const bool own = graft::read_file(html, 64 << 20).find("<meta name=\"generator\" content=\"graft\">") < 400;
  if (!options.overwrite || !own)
    throw graft::OptionError(html.string() + " is there already" +
                             (own ? "; see --overwrite" : ", and graft did not write it; name another --out"));
}

int run(const ThreeWaysOptions& options) {
  const graft::InterruptFlag interrupt;
  const Facts facts = read_facts(options.train, options.documents, options.questions);
  check_outputs(options);
  int code = run_apart(interrupt, [&] { check_ways(options); });
  for (const WayName& name : way_names) {
    if (code != 0) break;
    std::fprintf(stderr, "\n%s\n", name.title);
    code = run_apart(interrupt, [&] {
      const graft::Json way = run_way(name.key, options, facts, interrupt);
      graft::write_report(options.out / (std::string(name.key) + ".json"), way, options.overwrite);
    });
  }
  if (code == 130) std::fputs("interrupted; there is no report\n", stderr);
  if (code != 0) return code;
  const graft::Json report = report_of(options, facts);
  graft::write_report(options.out / "three_ways.json", report, options.overwrite);
  graft::write_file(options.out / "three_ways.html", page(report));
  print_table(report);
  std::printf("\nThe answers to read: %s\n", (options.out / "three_ways.html").string().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Gives a language model new facts by full fine-tuning, by LoRA and by retrieval, and compares them.");
  app.set_version_flag("--version", GRAFT_VERSION);
  app.get_formatter()->column_width(34);
  ThreeWaysOptions options;
  app.add_option("--model", options.model, "language model: a GGUF file or a Hugging Face directory")->required();
  app.add_option("--encoder", options.encoder, "sentence-transformers directory for retrieval")->required();
  app.add_option("--train", options.train, "JSONL of question and answer: what is trained on")->required();
  app.add_option("--documents", options.documents, "JSONL of id, text and when (before, after): what is looked up")
      ->required();
  app.add_option("--questions", options.questions, "JSONL of question, answer and when: what all are asked")
      ->required();
  app.add_option("--out", options.out, "directory for models, store, reports and page")->required();
  app.add_flag("--overwrite", options.overwrite, "replace what an earlier run wrote there, nothing else");
  app.add_option("--chat-format", options.chat_format, "the model's, where its vocabulary does not tell: llama2, ...");
  app.add_option("--epochs", options.epochs, "passes over --train")->check(whole_number(1))->capture_default_str();
  app.add_option("--reading-epochs", options.reading_epochs, "passes where LoRA learns to answer from passages")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "questions in a step")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_option("--full-lr", options.full_lr, "learning rate of full fine-tuning")
      ->check(number(0, HUGE_VAL, /*above=*/true))
      ->capture_default_str();
  app.add_option("--lora-lr", options.lora_lr, "and of LoRA")
      ->check(number(0, HUGE_VAL, /*above=*/true))
      ->capture_default_str();
  app.add_option("--rank", options.rank, "rank of A and B")->check(whole_number(1))->capture_default_str();
  app.add_option("--alpha", options.alpha, "LoRA's update is scaled by alpha / rank")
      ->check(number(0, 1e9))
      ->capture_default_str();
  app.add_option("--targets", options.targets, "LoRA's layers by name, or all-linear")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--adapter", options.adapter,
                 "a PEFT directory that is asked as the way LoRA; nothing is trained for it");
  app.add_option("--top", options.top, "passages before a question")->check(whole_number(1))->capture_default_str();
  app.add_option("--answer-tokens", options.answer_tokens, "tokens of the longest answer")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of the order of questions and of LoRA's A")->capture_default_str();
  app.add_option("--threads", options.threads, "0: one for each core")->check(thread_count())->capture_default_str();
  return run_cli("three_ways", app, argc, argv, [&] {
    if (options.threads == 0) options.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    return run(options);
  });
}
