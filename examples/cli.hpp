#pragma once

// What all programs ask of their options.

#include <cstdint>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "graft/core/console.hpp"

/// A whole number from `least` to `most`.
inline CLI::Validator whole_number(std::int64_t least, std::int64_t most = INT64_MAX) {
  return CLI::Validator(
      [=](std::string& text) {
        std::int64_t number = 0;
        if (CLI::detail::lexical_cast(text, number) && number >= least && number <= most) return std::string();
        return "is " + text + "; give a whole number from " + std::to_string(least) +
               (most == INT64_MAX ? " on" : " to " + std::to_string(most));
      },
      "");
}

/// Of --threads: 0 is one for each core.
inline CLI::Validator thread_count() { return whole_number(0, 1024); }

/// Refuses an empty text for any option of the program and its subcommands: `--out ""` is a slip, such as a variable of
/// a shell that is not set.
inline void refuse_empty_texts(CLI::App& app) {
  for (CLI::Option* option : app.get_options([](CLI::Option* each) { return each->get_type_name() == "TEXT"; })) {
    option->check([](const std::string& text) { return std::string(text.empty() ? "must not be empty" : ""); });
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) refuse_empty_texts(*command);
}

/// main() of the program called `name`: reads its options, does `body`, and gives the exit status.
inline int run_cli(const char* name, CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  refuse_empty_texts(app);
  return graft::run_program(name, [&] {
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app.exit(error);
    }
    return body();
  });
}
