#include "page.hpp"

#include <set>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/rag/answer_score.hpp"
#include "numbers.hpp"
#include "report.hpp"
#include "svg.hpp"

namespace {

constexpr const char* page_style = R"css(
:root { --ink: #1c1f24; --paper: #fff; --soft: #5c6470; --line: #d8dce2; --panel: #f5f6f8; --mark: #d7efdf;
  --before: #0f6cbd; --after: #d9822b; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --paper: #16181c; --soft: #a0a8b3; --line: #343941;
  --panel: #1f2329; --mark: #1f4a33; --before: #5aa9ec; --after: #f0a860; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 16px 64px; max-width: 860px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 8px; } h2 { font-size: 1.2rem; margin: 40px 0 4px; }
p, figcaption { margin: 0 0 12px; } .soft, figcaption { color: var(--soft); font-size: .9rem; }
figure { margin: 0 0 20px; } svg { display: block; width: 100%; max-width: 680px; height: auto; }
svg text { font-size: 14px; fill: var(--ink); } svg .name { text-anchor: end; }
.bar { fill: var(--soft); } .bar.before { fill: var(--before); } .bar.after { fill: var(--after); }
.whisker { stroke: var(--ink); stroke-width: 1.5; fill: none; } .axis { stroke: var(--line); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .8em; }
.key.before { background: var(--before); } .key.after { background: var(--after); }
.costs { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 20px 28px; }
.costs h3 { font-size: 1rem; margin: 0; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px 5px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
details { border-bottom: 1px solid var(--line); } summary { padding: 6px 0; cursor: pointer; }
summary .scores { color: var(--soft); font-size: .85rem; display: block; padding-left: 1.1em; }
dl { margin: 0 0 12px; padding: 10px 14px; background: var(--panel); border-radius: 6px; display: grid;
  grid-template-columns: minmax(90px, 150px) 1fr; gap: 6px 14px; } dt { color: var(--soft); } dd { margin: 0; }
mark { background: var(--mark); color: inherit; border-radius: 2px; }
)css";

/// The answer, with the words of it that are key terms marked.
std::string marked(const std::string& answer, const std::set<std::string>& terms) {
  std::string out;
  for (std::size_t at = 0; at < answer.size();) {
    const std::size_t end = std::min(answer.find_first_of(" \n\t", at), answer.size());
    const std::string word = answer.substr(at, end - at);
    const std::vector<std::string> plain = graft::answer_words(word);
    const bool key = plain.size() == 1 && terms.contains(plain[0]);
    out += (key ? "<mark>" : "") + html(word) + (key ? "</mark>" : "");
    at = end;
    while (at < answer.size() && std::string_view(" \n\t").find(answer[at]) != std::string_view::npos)
      out += answer[at++];
  }
  return out;
}

std::string quality_plot(const graft::Json& report, const char* measure, const char* label) {
  std::vector<BarGroup> groups;
  for (const graft::Json& way : report.at("ways")) {
    BarGroup group{way.at("title"), {}};
    for (const char* when : {"before", "after"}) {
      if (way.at(when).is_null()) continue;
      const graft::Json& part = way.at(when).at(measure);
      group.bars.push_back({part.at("mean"), decimal(part.at("mean"), 2), part.at("low"), part.at("high"), when});
    }
    groups.push_back(std::move(group));
  }
  return bar_plot(groups, 1.0, label, 540, 154);
}

template <class Value, class Text>
std::string cost_plot(const graft::Json& report, const char* title, Value value, Text text) {
  std::vector<BarGroup> groups;
  double most = 0;
  for (const graft::Json& way : report.at("ways")) {
    groups.push_back({way.at("title"), {{value(way), text(value(way))}}});
    most = std::max(most, value(way));
  }
  return graft::message("<figure><h3>", title, "</h3>\n", bar_plot(groups, most > 0 ? most : 1, title, 420, 152),
                        "</figure>\n");
}

std::string table(const graft::Json& report) {
  std::string out =
      "<div class=\"table\"><table>\n<tr><th></th><th>trained</th><th>stored</th><th>to prepare</th><th>peak "
      "memory</th>"
      "<th>an answer</th><th>F1, taught</th><th>F1, later</th><th>terms, taught</th><th>terms, later</th></tr>\n";
  for (const graft::Json& way : report.at("ways")) {
    const auto cell = [&](const char* when, const char* measure) {
      return way.at(when).is_null() ? std::string("&ndash;") : interval(way.at(when).at(measure));
    };
    out += graft::message("<tr><td>", html(way.at("title").get<std::string>()), "</td><td>",
                          count_text(way.at("trained_parameters")), "</td><td>", bytes_text(way.at("stored_bytes")),
                          "</td><td>", seconds_text(way.at("prepare_seconds")), "</td><td>",
                          bytes_text(way.at("peak_bytes")), "</td><td>", seconds_text(answer_seconds(way)), "</td><td>",
                          cell("before", "f1"), "</td><td>", cell("after", "f1"), "</td><td>",
                          cell("before", "key_terms"), "</td><td>", cell("after", "key_terms"), "</td></tr>\n");
  }
  return out + "</table></div>\n";
}

/// The questions about facts from `when`, each with every way's answer.
std::string answers(const graft::Json& report, const std::string& when) {
  std::string out;
  const graft::Json& ways = report.at("ways");
  const graft::Json& asked = ways.at(0).at("answers");
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (asked[i].at("when") != when) continue;
    const std::string question = asked[i].at("question"), truth = asked[i].at("truth");
    const std::set<std::string> terms = graft::key_terms(truth, question);
    std::string scores, list = "<dt>the truth</dt><dd>" + marked(truth, terms) + "</dd>\n";
    for (const graft::Json& way : ways) {
      const graft::Json& answer = way.at("answers").at(i);
      const std::string title = html(way.at("title").get<std::string>());
      scores += (scores.empty() ? "" : " &middot; ") + title + " " + decimal(answer.at("f1"), 2);
      std::string sources;
      for (const graft::Json& source : answer.at("sources"))
        sources += (sources.empty() ? " <span class=\"soft\">from " : ", ") + html(source.get<std::string>());
      list += graft::message("<dt>", title, "</dt><dd>", marked(answer.at("answer"), terms), sources,
                             sources.empty() ? "" : "</span>", "</dd>\n");
    }
    out += graft::message("<details><summary>", html(question), "<span class=\"scores\">F1: ", scores,
                          "</span></summary>\n<dl>", list, "</dl></details>\n");
  }
  return out;
}

}  // namespace

std::string page(const graft::Json& report) {
  const graft::Json& facts = report.at("facts");
  const std::string keys =
      "<span class=\"key before\"></span>facts it was taught, worded otherwise"
      "<span class=\"key after\"></span>facts added after training";
  std::string out = graft::message(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"generator\" "
      "content=\"graft\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Three ways to teach a "
      "model</title>\n"
      "<style>",
      page_style, "</style>\n</head>\n<body>\n<h1>Three ways to teach a model new facts</h1>\n<p>",
      html(report.at("model").get<std::string>()), " was asked about ", facts.at("before"),
      " facts that it was taught, each in words it had not seen, and about ", facts.at("after"),
      " facts that came after the training, for which retrieval only had to add documents. <q>LoRA with retrieval</q> "
      "is an adapter that learned to answer from the passages that retrieval finds.</p>\n");
  out +=
      "<h2>How good are the answers?</h2>\n<figure><figcaption>Token F1 against the true answer, 1 is best; the line "
      "is the 95 % interval of the mean. " +
      keys + "</figcaption>\n" +
      quality_plot(report, "f1", "Token F1 of each way, for facts it was taught and facts added later") +
      "</figure>\n<figure><figcaption>Share of the key terms of the true answer that the answer holds, word for word."
      "</figcaption>\n" +
      quality_plot(report, "key_terms", "Key terms found by each way") + "</figure>\n";
  out +=
      "<h2>What does it cost?</h2>\n<div class=\"costs\">\n" +
      cost_plot(
          report, "Time to prepare", [](const graft::Json& way) { return way.at("prepare_seconds").get<double>(); },
          seconds_text) +
      cost_plot(
          report, "Peak memory to prepare", [](const graft::Json& way) { return way.at("peak_bytes").get<double>(); },
          bytes_text) +
      cost_plot(
          report, "To store", [](const graft::Json& way) { return way.at("stored_bytes").get<double>(); }, bytes_text) +
      cost_plot(report, "Time of an answer", answer_seconds, seconds_text) + "</div>\n";
  out += "<h2>All figures</h2>\n" + table(report);
  out += graft::message("<p class=\"soft\">", html(report.at("about").get<std::string>()), "</p>\n");
  out +=
      "<h2>Questions about what it was taught</h2>\n<p class=\"soft\">Open one to read what each way answered; key "
      "terms of the true answer are marked.</p>\n" +
      answers(report, "before");
  out += "<h2>Questions about facts added later</h2>\n" + answers(report, "after");
  return out + "</body>\n</html>\n";
}
