#pragma once

// What all programs ask of their options.

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "graft/core/console.hpp"
#include "graft/core/error.hpp"

/// A whole number from `least` to `most`.
inline CLI::Validator whole_number(std::int64_t least, std::int64_t most = INT64_MAX) {
  const std::string lower = least == INT64_MIN ? "" : graft::message(" from ", least);
  const std::string upper = most != INT64_MAX ? graft::message(" to ", most) : least == INT64_MIN ? "" : " on";
  return CLI::Validator(
      [=](std::string& text) {
        std::int64_t number = 0;
        if (CLI::detail::lexical_cast(text, number) && number >= least && number <= most) return std::string();
        return graft::message("is ", text, "; give a whole number", lower, upper);
      },
      "");
}

/// A number from `least` to `most`; `above` refuses `least` itself.
inline CLI::Validator number(double least, double most = HUGE_VAL, bool above = false) {
  const std::string lower = least == -HUGE_VAL ? "" : graft::message(above ? " above " : " from ", least);
  const std::string upper = most == HUGE_VAL ? (above || least == -HUGE_VAL ? "" : " on")
                                             : graft::message(above ? ", at most " : " to ", most);
  return CLI::Validator(
      [=](std::string& text) {
        double value = 0;
        if (CLI::detail::lexical_cast(text, value) && std::isfinite(value) && value <= most &&
            (above ? value > least : value >= least)) {
          return std::string();
        }
        return graft::message("is ", text, "; give a number", lower, upper);
      },
      "");
}

/// Of --threads: 0 is one for each core.
inline CLI::Validator thread_count() { return whole_number(0, 1024); }

/// Refuses what cannot be meant, for any option of the program and its subcommands: an empty text, such as a variable
/// of a shell that is not set, and what is no number where one is wanted.
inline void refuse_slips(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type == "TEXT")
      option->check([](const std::string& text) { return std::string(text.empty() ? "must not be empty" : ""); });
    if (type == "UINT") option->check(whole_number(0));
    if (type == "INT") option->check(whole_number(INT64_MIN));
    if (type == "FLOAT") option->check(number(-HUGE_VAL));
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) refuse_slips(*command);
}

/// main() of the program called `name`: reads its options, does `body`, and gives the exit status.
inline int run_cli(const char* name, CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  refuse_slips(app);
  return graft::run_program(name, [&] {
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app.exit(error);
    }
    return body();
  });
}
