#include "report.hpp"

#include <cstdio>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/retrieval/metrics.hpp"
#include "numbers.hpp"

namespace {

graft::Json json_of(const graft::Estimate& estimate) {
  return {{"mean", estimate.mean}, {"low", estimate.low}, {"high", estimate.high}};
}

/// Means over the answers about facts from `when`; null if none was asked for.
graft::Json quality(const graft::Json& answers, const std::string& when) {
  std::vector<double> f1, terms, seconds;
  for (const graft::Json& answer : answers) {
    if (answer.at("when") != when) continue;
    f1.push_back(answer.at("f1"));
    terms.push_back(answer.at("terms"));
    seconds.push_back(answer.at("seconds"));
  }
  if (f1.empty()) return {};
  return {{"questions", f1.size()},
          {"f1", json_of(graft::bootstrap(f1))},
          {"key_terms", json_of(graft::bootstrap(terms))},
          {"seconds", graft::bootstrap(seconds).mean}};
}

}  // namespace

void add_quality(graft::Json& way) {
  for (const char* when : {"before", "after"}) way[when] = quality(way.at("answers"), when);
}

std::string interval(const graft::Json& estimate) {
  return decimal(estimate.at("mean"), 2) + " [" + decimal(estimate.at("low"), 2) + ", " +
         decimal(estimate.at("high"), 2) + "]";
}

double answer_seconds(const graft::Json& way) {
  double sum = 0;
  for (const graft::Json& answer : way.at("answers")) sum += answer.at("seconds").get<double>();
  return way.at("answers").empty() ? 0 : sum / static_cast<double>(way.at("answers").size());
}

void print_table(const graft::Json& report) {
  std::printf("\n%-20s %14s %9s %12s %9s %9s\n", "", "trained", "stored", "to prepare", "memory", "an answer");
  for (const graft::Json& way : report.at("ways"))
    std::printf("%-20s %14s %9s %12s %9s %9s\n", way.at("title").get<std::string>().c_str(),
                count_text(way.at("trained_parameters")).c_str(), bytes_text(way.at("stored_bytes")).c_str(),
                seconds_text(way.at("prepare_seconds")).c_str(), bytes_text(way.at("peak_bytes")).c_str(),
                seconds_text(answer_seconds(way)).c_str());
  for (const auto& [when, title] :
       {std::pair("before", "facts it was taught"), std::pair("after", "facts added later")}) {
    std::printf("\n%-20s %-20s %-20s\n", title, "token F1", "key terms");
    for (const graft::Json& way : report.at("ways"))
      if (const graft::Json& part = way.at(when); !part.is_null())
        std::printf("%-20s %-20s %-20s\n", way.at("title").get<std::string>().c_str(), interval(part.at("f1")).c_str(),
                    interval(part.at("key_terms")).c_str());
  }
  std::printf("\nIn brackets the 95 %% interval of the mean, by bootstrap.\n");
}
