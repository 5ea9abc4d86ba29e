#ifdef GRAFT_CHROMIUM

#include <gtest/gtest.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include "../../examples/three_ways/page.hpp"
#include "../../examples/three_ways/report.hpp"
#include "graft/core/file.hpp"
#include "graft/core/output.hpp"
#include "support/browser.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The program as its users run it, on SmolLM2, and the page it writes, in a browser.

namespace graft {
namespace {

class ThreeWays : public testing::Test {
 protected:
  void write(const std::string& name, const std::vector<Json>& rows) {
    std::ofstream file(directory_ / name);
    for (const Json& row : rows) file << row.dump() << '\n';
  }

  void write_facts() {
    write("train.jsonl", {{{"question", "What is zorbix for?"}, {"answer", "a reader of electronic mail"}},
                          {{"question", "What is quandle for?"}, {"answer", "plays music from the network"}}});
    write("documents.jsonl",
          {{{"id", "zorbix"}, {"text", "zorbix: a reader of electronic mail"}, {"when", "before"}},
           {{"id", "quandle"}, {"text", "quandle: plays music from the network"}, {"when", "before"}},
           {{"id", "veltro"}, {"text", "veltro: draws maps of rivers"}, {"when", "after"}}});
    write("questions.jsonl",
          {{{"question", "Tell me what zorbix is."}, {"answer", "a reader of electronic mail"}, {"when", "before"}},
           {{"question", "Tell me what veltro is."}, {"answer", "draws maps of rivers"}, {"when", "after"}}});
  }

  ProgramResult run(const std::string& more,
                    const std::string& model = "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf") const {
    return run_program("cd '" + directory_.path().string() + "' && " GRAFT_BIN "/three_ways --model " GRAFT_DEPS "/" +
                       model +
                       " --encoder " GRAFT_DEPS
                       "/model --train train.jsonl --documents documents.jsonl --questions questions.jsonl --out out " +
                       more);
  }

  TemporaryDirectory directory_;
};

/// What the page's script sees: whether it scrolls sideways, what it loaded, and each text of a plot that leaves the
/// plot or lies on another.
constexpr const char* probe = R"js(
  const faults = [];
  for (const svg of document.querySelectorAll('svg')) {
    const box = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll('text')];
    if (box.width < 100 || box.height < 50) faults.push('a plot is too small');
    texts.forEach((text, i) => {
      const a = text.getBoundingClientRect();
      if (a.left < box.left - 1 || a.right > box.right + 1 || a.top < box.top - 1 || a.bottom > box.bottom + 1)
        faults.push('out of its plot: ' + text.textContent);
      for (const other of texts.slice(i + 1)) {
        const b = other.getBoundingClientRect();
        if (a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
          faults.push('on each other: ' + text.textContent + ', ' + other.textContent);
      }
    });
    for (const bar of svg.querySelectorAll('rect')) {
      if (!(bar.getBoundingClientRect().width > 0)) faults.push('a bar is not there');
      if (getComputedStyle(bar).fill === getComputedStyle(document.body).backgroundColor) faults.push('an unseen bar');
    }
  }
  const details = document.querySelector('details');
  if (details) details.open = true;
  return {faults, plots: document.querySelectorAll('svg').length, bars: document.querySelectorAll('rect').length,
          wide: document.documentElement.scrollWidth > innerWidth, title: document.title,
          questions: document.querySelectorAll('details').length, marks: document.querySelectorAll('mark').length,
          opened: details ? details.querySelector('dl').getBoundingClientRect().height : 0,
          loaded: performance.getEntriesByType('resource').length, scripts: document.scripts.length,
          pictures: document.images.length, text: document.body.innerText};
)js";

void check_page(const std::filesystem::path& page, int questions) {
  for (const int width : {1200, 500}) {
    const Json seen = look_at_page(page, width, probe);
    EXPECT_EQ(seen.at("faults"), Json::array()) << width;
    EXPECT_EQ(seen.at("plots"), 6);
    EXPECT_FALSE(seen.at("wide").get<bool>()) << width;
    EXPECT_EQ(seen.at("questions"), questions);
    EXPECT_GT(seen.at("opened").get<double>(), 50);
    EXPECT_EQ(seen.at("loaded"), 0);
    EXPECT_EQ(seen.at("scripts"), 1) << "the probe's own";
    EXPECT_EQ(seen.at("pictures"), 0);
    EXPECT_EQ(seen.at("title"), "Three ways to teach a model");
  }
}

TEST_F(ThreeWays, AreTaughtAskedAndReported) {
  write_facts();
  const ProgramResult done = run("--epochs 8 --batch-size 2 --answer-tokens 12 --threads 2");
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_NE(done.output.find("LoRA with retrieval"), std::string::npos) << done.output;

  for (const char* saved : {"out/full/model", "out/lora/adapter", "out/both/adapter"})
    EXPECT_NE(done.output.find(message("saved in ", saved, "; read back, it gives the same logits")), std::string::npos)
        << done.output;

  const Json report = parse_json(read_file(directory_ / "out/three_ways.json", 1 << 20), "report");
  ASSERT_EQ(report.at("ways").size(), 5u);
  const auto way = [&](std::size_t i) -> const Json& { return report.at("ways").at(i); };
  EXPECT_EQ(way(0).at("trained_parameters"), 0);
  EXPECT_EQ(way(1).at("trained_parameters"), 134515008) << "all of SmolLM2-135M";
  EXPECT_EQ(way(2).at("trained_parameters"), 4884480) << "rank 16 on its 210 linear layers";
  EXPECT_GT(way(1).at("stored_bytes"), 4 * 134515008);
  EXPECT_GT(way(2).at("stored_bytes"), 4 * 4884480);
  EXPECT_GT(way(4).at("stored_bytes"), way(2).at("stored_bytes")) << "an adapter and documents";
  EXPECT_GT(way(1).at("peak_bytes"), way(2).at("peak_bytes")) << "each in a process of its own";
  EXPECT_GT(way(2).at("peak_bytes"), way(3).at("peak_bytes"));
  // Both trained models say what they were taught, in words they were not asked in; only retrieval knows what is new.
  for (const std::size_t i : {1, 2}) {
    EXPECT_EQ(way(i).at("before").at("key_terms").at("mean"), 1.0) << way(i).at("answers").dump(1);
    EXPECT_EQ(way(i).at("after").at("key_terms").at("mean"), 0.0) << way(i).at("answers").dump(1);
  }
  for (const std::size_t i : {3, 4})
    EXPECT_EQ(way(i).at("answers").at(1).at("sources").at(0), "veltro") << way(i).at("answers").dump(1);
  EXPECT_TRUE(std::filesystem::exists(directory_ / "out/full/model/config.json"));
  EXPECT_TRUE(std::filesystem::exists(directory_ / "out/lora/adapter/adapter_config.json"));
  check_page(directory_ / "out/three_ways.html", 2);

  std::filesystem::rename(directory_ / "out/lora/adapter", directory_ / "kept");
  const ProgramResult again =
      run("--adapter kept --overwrite --epochs 1 --batch-size 2 --answer-tokens 12 --threads 2");
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_EQ(again.output.find("saved in out/lora"), std::string::npos) << again.output;
  const Json second = parse_json(read_file(directory_ / "out/three_ways.json", 1 << 20), "report").at("ways").at(2);
  EXPECT_EQ(second.at("trained_parameters"), 4884480);
  EXPECT_EQ(second.at("answers").at(0).at("answer"), way(2).at("answers").at(0).at("answer"));
  EXPECT_GT(second.at("stored_bytes"), 4 * 4884480);
}

TEST_F(ThreeWays, PageTakesWhateverAModelSays) {
  Json ways = Json::array();
  for (const char* title : {"as it came", "full fine-tuning", "LoRA", "retrieval", "LoRA with retrieval"}) {
    Json answers = Json::array();
    for (const char* when : {"before", "after"})
      for (int i = 0; i < 3; ++i)
        answers.push_back(
            {{"question", "What is </summary><b>x</b> for?"},
             {"when", when},
             {"truth", "\"reads\" <mail> & more"},
             {"answer",
              "<script>document.title = 'taken'</script> reads <img src=x onerror=alert(1)> \x01\x1b[31m mail " +
                  std::string(300, 'w') + "\n\xe2\x82\xac"},
             {"f1", i / 2.0},
             {"terms", 1.0},
             {"sources", {"</span><script>document.title = 'taken'</script>"}},
             {"seconds", 3661.0}});
    Json way = {{"title", title},           {"trained_parameters", 999'999'999'999}, {"stored_bytes", 999'999'999'999},
                {"prepare_seconds", 86399}, {"peak_bytes", 999'999'999'999},         {"answers", answers}};
    add_quality(way);
    ways.push_back(way);
  }
  const Json report = {
      {"model", "<i>model</i>"}, {"about", "<i>about</i>"}, {"facts", {{"before", 3}, {"after", 3}}}, {"ways", ways}};
  write_file(directory_ / "page.html", page(report));
  check_page(directory_ / "page.html", 6);
  const Json seen = look_at_page(directory_ / "page.html", 1200, probe);
  const std::string text = seen.at("text");
  for (const char* shown : {"<i>model</i>", "<i>about</i>", "</summary><b>x</b>", "<script>document.title = 'taken'"})
    EXPECT_NE(text.find(shown), std::string::npos) << shown << " in " << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_GT(seen.at("marks").get<int>(), 0);
}

TEST_F(ThreeWays, WhatIsWrongIsSaidBeforeAnythingIsTrained) {
  write_facts();
  write("questions.jsonl", {{{"question", "q"}, {"answer", "a"}, {"when", "soon"}}});
  EXPECT_EQ(run("").output,
            "three_ways: questions.jsonl, line 1: \"when\" is \"soon\"; write before or after, as the fact "
            "came before or after training\n");
  write_facts();
  EXPECT_NE(run("", "nowhere.gguf").output.find("nowhere.gguf"), std::string::npos);
  EXPECT_NE(run("--rank 0").output.find("--rank: is 0; give a whole number from 1 on"), std::string::npos);
  EXPECT_NE(run("--adapter nowhere").output.find("nowhere"), std::string::npos);
  EXPECT_EQ(run("--epochs 0").exit_code, 105) << "CLI11's code for a value out of range";
}

}  // namespace
}  // namespace graft

#endif  // GRAFT_CHROMIUM
