// What survives when the writing process is killed, or the disk refuses.

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include <cerrno>
#include <functional>
#include <thread>

#include "graft/retrieval/hnsw.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/support.hpp"

namespace {

/// Acts at the n-th system call from now on: kills the process, or fails with an error. 0: never.
struct Fault {
  long countdown = 0;
  int error = 0;  // 0: kill
  bool due() {
    if (countdown == 0 || --countdown > 0) return false;
    if (error == 0) kill(getpid(), SIGKILL);
    countdown = 1;  // from now on, as a full disk does
    errno = error;
    return true;
  }
} fault;

ssize_t faulty_pwrite(int file, const void* data, size_t size, off_t offset) {
  return fault.due() ? -1 : pwrite(file, data, size, offset);
}

}  // namespace

// These stand in front of the C library's own for everything this program calls by name.
extern "C" {
ssize_t write(int file, const void* data, size_t size) {
  return fault.due() ? -1 : syscall(SYS_write, file, data, size);
}
int fsync(int file) { return fault.due() ? -1 : static_cast<int>(syscall(SYS_fsync, file)); }
int rename(const char* from, const char* to) noexcept {
  return fault.due() ? -1 : static_cast<int>(syscall(SYS_rename, from, to));
}
}

namespace graft::durability_test {
namespace {

const VectorSpace kSpace{"m", 3, Metric::cosine};

std::string text_of(int number) {
  return message("document ", number, " first. Then word", number % 7, " again. End ", number, ".");
}

void put(Writer& writer, int number) {
  const std::string text = text_of(number);
  const std::size_t third = text.size() / 3;
  const auto ids = writer.put({.uri = message("d", number), .text = text, .metadata = {{"n", number}}},
                              std::vector<PassageRange>{{0, third}, {third, 2 * third}, {2 * third, text.size()}});
  std::vector<float> vectors;
  for (int i = 0; i < 9; ++i) vectors.push_back(static_cast<float>((number * 31 + i * 17) % 101 + 1));
  writer.put_vectors(kSpace, ids, vectors);
}

/// Runs `work` in a process of its own; gives its exit status as waitpid() does.
int in_child(
    const std::function<void()>& work, const std::function<void(pid_t)>& meanwhile = [](pid_t) {}) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      work();
    } catch (...) {
      _exit(2);
    }
    _exit(0);
  }
  meanwhile(child);
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

/// That the store is whole, holds exactly d0 ... d<count - 1>, and answers as one that was written in one go.
void expect_whole(const std::filesystem::path& path, int at_least, TemporaryDirectory& directory) {
  SqliteStore store(path);
  store.check();
  const auto count = static_cast<int>(store.read()->size().documents);
  ASSERT_GE(count, at_least) << "an acknowledged document is lost";
  auto snapshot = store.read();
  for (int i = 0; i < count; ++i) {
    const auto document = snapshot->find(message("d", i));
    ASSERT_TRUE(document) << i;
    ASSERT_EQ(snapshot->text(document->id), text_of(i));
    ASSERT_EQ(document->passages, 3u);
  }
  ASSERT_EQ(snapshot->vector_ids(kSpace).size(), static_cast<std::size_t>(3 * count));

  const auto fresh_path = directory / "fresh.db";
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(fresh_path.string() + suffix);
  SqliteStore fresh(fresh_path);
  auto writer = fresh.write();
  writer->add_space(kSpace);
  for (int i = 0; i < count; ++i) put(*writer, i);
  writer->commit();
  Retriever here(store, {.space = kSpace}), there(fresh, {.space = kSpace});
  for (const char* text : {"word3", "first", "end 5"}) {
    const Query query{.text = text, .vector = {1, 50, 100}, .top = 20};
    const auto a = here.search(query), b = there.search(query);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].passage.text, b[i].passage.text);
      EXPECT_EQ(a[i].score, b[i].score);
    }
  }
}

void make_store(const std::filesystem::path& path) {
  SqliteStore store(path);
  auto writer = store.write();
  writer->add_space(kSpace);
  writer->commit();
}

TEST(Durability, AKillAtARandomMomentLosesNothingAcknowledged) {
  TemporaryDirectory directory;
  const auto path = directory / "store.db";
  make_store(path);
  std::mt19937_64 random(1);
  int acknowledged = 0;
  for (int round = 0; round < 50; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
    in_child(
        [&] {
          SqliteStore store(path);
          for (int next = static_cast<int>(store.read()->size().documents);; ++next) {
            auto writer = store.write();
            put(*writer, next);
            if (next % 3 == 0) put(*writer, ++next);
            writer->commit();
            const int count = next + 1;
            (void)!::write(pipe_ends[1], &count, sizeof count);
          }
        },
        [&](pid_t child) {
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 40'000));
          kill(child, SIGKILL);
        });
    close(pipe_ends[1]);
    for (int count = 0; read(pipe_ends[0], &count, sizeof count) == sizeof count;) acknowledged = count;
    close(pipe_ends[0]);
    SqliteStore(path).check();
    ASSERT_GE(static_cast<int>(SqliteStore(path).read()->size().documents), acknowledged);
  }
  EXPECT_GT(acknowledged, 0);
  expect_whole(path, acknowledged, directory);
}

TEST(Durability, AKillOrAFullDiskAtEveryWriteLeavesTheOldStoreOrTheNew) {
  sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
  for (const char* name : {"pwrite", "pwrite64"})
    vfs->xSetSystemCall(vfs, name, reinterpret_cast<sqlite3_syscall_ptr>(&faulty_pwrite));
  for (const int error : {0, ENOSPC, EIO}) {
    TemporaryDirectory directory;
    const auto path = directory / "store.db";
    make_store(path);
    for (long call = 1, done = 0; done == 0; ++call) {
      ASSERT_LT(call, 500);
      const int before = static_cast<int>(SqliteStore(path).read()->size().documents);
      const int status = in_child([&] {
        SqliteStore store(path);
        auto writer = store.write();
        fault = {call, error};
        try {
          put(*writer, before);
          writer->commit();
        } catch (const FileError&) {
          _exit(3);
        }
        fault = {};
      });
      const bool committed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
      if (!committed) {
        ASSERT_TRUE(error == 0 ? WIFSIGNALED(status) : WEXITSTATUS(status) == 3) << call << " " << status;
      }
      SqliteStore store(path);
      store.check();
      const int after = static_cast<int>(store.read()->size().documents);
      ASSERT_TRUE(committed ? after == before + 1 : after == before || after == before + 1);
      done = committed;
    }
    expect_whole(path, 1, directory);
  }
  vfs->xSetSystemCall(vfs, nullptr, nullptr);
}

TEST(Durability, AnIndexSaveIsWholeOrNotAtAllWhateverCallFails) {
  const auto vectors = test::random_vectors(300, 3, 1);
  HnswIndex old_index(kSpace), new_index(kSpace);
  old_index.add(test::ids_from(1, 100), std::span(vectors).first(300));
  new_index.add(test::ids_from(1, 300), vectors);
  for (const int error : {0, ENOSPC, EIO}) {
    TemporaryDirectory directory;
    const auto path = directory / "index";
    old_index.save(path, "old");
    for (long call = 1, done = 0; done == 0; ++call) {
      ASSERT_LT(call, 100'000);
      const int status = in_child([&] {
        fault = {call, error};
        try {
          new_index.save(path, "new");
        } catch (const FileError&) {
          _exit(3);
        }
      });
      done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
      const auto [index, stamp] = HnswIndex::load(path, kSpace);
      if (done) {
        EXPECT_EQ(stamp, "new");
      }
      ASSERT_EQ(index.size(), stamp == "old" ? 100u : 300u);
    }
  }
}

TEST(Durability, ADirectoryThatCannotBeWrittenIsAnError) {
  TemporaryDirectory directory;
  make_store(directory / "store.db");
  const int status = in_child([&] {
    if (setuid(65534) != 0 && geteuid() == 0) _exit(4);  // root may write everywhere
    chdir("/") == 0 ? void() : _exit(4);
    try {
      SqliteStore store(directory / "store.db");
    } catch (const FileError& error) {
      _exit(std::string(error.what()).find("check the p") != std::string::npos ? 0 : 5);
    }
    _exit(6);
  });
  EXPECT_EQ(WEXITSTATUS(status), 0);
  SqliteStore(directory / "store.db").check();
}

TEST(Durability, FourProcessesReadWhileOneWrites) {
  TemporaryDirectory directory;
  const auto path = directory / "store.db";
  make_store(path);
  {
    SqliteStore store(path);
    auto writer = store.write();
    put(*writer, 0);
    writer->commit();
  }
  std::vector<pid_t> readers;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        SqliteStore store(path);
        Retriever retriever(store, {.space = kSpace});
        std::size_t last = 0;
        while (last < 60) {
          auto snapshot = store.read();
          const std::size_t documents = snapshot->size().documents;
          if (documents < last || snapshot->size().passages != 3 * documents ||
              snapshot->vector_ids(kSpace).size() != 3 * documents)
            _exit(5);
          last = documents;
          if (retriever.search({.text = "first", .vector = {1, 2, 3}, .top = 1}).size() != 1) _exit(6);
        }
        _exit(0);
      } catch (...) {
        _exit(7);
      }
    }
    readers.push_back(child);
  }
  SqliteStore store(path);
  for (int next = 1; next < 60; ++next) {
    auto writer = store.write();
    put(*writer, next);
    writer->commit();
  }
  for (const pid_t reader : readers) {
    int status = 0;
    waitpid(reader, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << "5: torn snapshot, 6: no answer, 7: an error";
  }
}

}  // namespace
}  // namespace graft::durability_test
