#include "graft/training/progress.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>

#include <gtest/gtest.h>

#include "graft/core/usage.hpp"

namespace graft::progress_test {
namespace {

void tell_a_run(TrainingCallback& callback, std::int64_t steps) {
  callback.on_begin({.rows = 40, .epochs = 2, .steps = steps});
  for (std::int64_t step = 1; step <= steps; ++step) {
    callback.on_step({.step = step, .epoch = 1 + 2 * (step - 1) / steps, .loss = 0.5, .tokens = 300, .seconds = 0.25});
  }
  callback.on_evaluation({.step = steps, .epoch = 2, .scores = {{"accuracy", 0.75}}, .best = true});
  callback.on_end({.steps = steps, .seconds = 3675.0});
}

std::string in_a_file(std::int64_t steps) {
  std::FILE* file = std::tmpfile();
  ProgressBar bar("full", file);
  tell_a_run(bar, steps);
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  std::fclose(file);
  return text;
}

/// What arrives in a terminal of `columns` columns.
std::string in_a_terminal(std::int64_t steps, unsigned short columns) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  EXPECT_EQ(grantpt(master), 0);
  EXPECT_EQ(unlockpt(master), 0);
  const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  EXPECT_EQ(ioctl(slave, TIOCSWINSZ, &size), 0);
  std::FILE* terminal = fdopen(slave, "w");
  ProgressBar bar("", terminal);
  tell_a_run(bar, steps);
  std::fflush(terminal);
  std::fclose(terminal);
  // A terminal hands over what it has so far; once its other end is closed, the end of it is an error.
  std::string text;
  char part[4096];
  for (ssize_t length; (length = read(master, part, sizeof(part))) > 0;) {
    text.append(part, static_cast<std::size_t>(length));
  }
  ::close(master);
  return text;
}

TEST(ProgressBar, WritesPlainLinesToAFile) {
  EXPECT_EQ(in_a_file(4),
            "full  epoch 1/2 [=====               ]  25 %  loss 0.5000  1200 tokens/s  0:01 left\n"
            "full  epoch 1/2 [==========          ]  50 %  loss 0.5000  1200 tokens/s  0:01 left\n"
            "full  epoch 2/2 [===============     ]  75 %  loss 0.5000  1200 tokens/s  0:00 left\n"
            "full  epoch 2/2 [====================] 100 %  loss 0.5000  1200 tokens/s  0:00 left\n"
            "full  step 4:  accuracy 0.7500  (best)\n"
            "full  finished after 4 steps, 1:01:15\n");
}

TEST(ProgressBar, ShowsWhatIsLearnedAndTheMemory) {
  std::FILE* file = std::tmpfile();
  ProgressBar bar("", file, {.learned = true, .memory = true});
  bar.on_begin({.epochs = 1, .steps = 2});
  bar.on_step({.step = 1, .epoch = 1, .loss = 1, .tokens = 300, .judged = 90, .seconds = 0.5});
  std::rewind(file);
  char line[256] = {};
  ASSERT_NE(std::fgets(line, sizeof(line), file), nullptr);
  std::fclose(file);
  double gigabytes = 0;
  ASSERT_EQ(
      std::sscanf(line, "epoch 1/1 [==========          ]  50 %%  loss 1.0000  600 tokens/s (180 learned)  %lf GB",
                  &gigabytes),
      1)
      << line;
  EXPECT_NEAR(gigabytes * 1e9, static_cast<double>(peak_memory_bytes()), 1e8);
}

TEST(ProgressBar, KeepsAFileShort) {
  const std::string text = in_a_file(1000);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 12);
}

TEST(ProgressBar, RedrawsOneLineOfATerminal) {
  const std::string text = in_a_terminal(4, 100);
  EXPECT_NE(text.find("\repoch 2/2 [====================] 100 %  loss 0.5000  1200 tokens/s  0:00 left\x1b[K\r"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("\rstep 4:  accuracy 0.7500  (best)\x1b[K\r\n"), std::string::npos) << text;
}

TEST(ProgressBar, StaysWithinTheColumnsOfATerminal) {
  const std::string text = in_a_terminal(4, 30);
  EXPECT_NE(text.find("\repoch 2/2 [==================\x1b[K\r"), std::string::npos) << text;
}

}  // namespace
}  // namespace graft::progress_test
