#include "copy.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "graft/core/console.hpp"
#include "graft/retrieval/copy.hpp"
#include "graft/training/interrupt.hpp"
#include "progress.hpp"
#include "store.hpp"

int run_copy(const CopyCommand& command) {
  const graft::InterruptFlag interrupt;
  std::error_code none;
  if (command.from == command.to || (!is_postgres(command.from) && !is_postgres(command.to) &&
                                     std::filesystem::equivalent(command.from, command.to, none)))
    throw graft::OptionError("--from and --to are the same store; name two");
  const auto from = open_store(command.from, false);
  const auto to = open_store(command.to, true);
  const auto documents = static_cast<double>(std::max<std::size_t>(1, from->read()->size().documents));
  ProgressLine line;
  graft::CopyOptions options;
  options.stop = [&] { return interrupt.flag().load(); };
  options.progress = [&](const graft::CopyReport& report) {
    const auto done = static_cast<double>(report.documents);
    line.show(done / documents, graft::message(report.documents, " documents  ", report.vectors, " vectors  ",
                                               static_cast<long>(done / line.seconds()), " documents/s"));
  };
  const graft::CopyReport report = graft::copy_store(*from, *to, options);
  line.clear();
  if (interrupt.flag() && report.documents == 0) {
    std::fprintf(stderr, "rag: stopped; %s is as it was\n", to->name().c_str());
    return 130;
  }
  std::printf("%zu documents, %zu passages and %zu vectors copied to %s in %s\n", report.documents, report.passages,
              report.vectors, to->name().c_str(), graft::clock_text(line.seconds()).c_str());
  return 0;
}
