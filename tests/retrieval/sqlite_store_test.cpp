#include "graft/retrieval/sqlite_store.hpp"
#include "graft/retrieval/sqlite/connection.hpp"

#include <functional>

#include "retrieval/store_suite.hpp"

namespace graft {
namespace {

struct SqlitePlace {
  std::unique_ptr<Store> open(const StoreTestOptions& options) {
    return std::make_unique<SqliteStore>(
        directory / "store.db",
        SqliteStoreOptions{.create = options.create, .wait = options.wait, .document_bytes = options.document_bytes});
  }
  std::unique_ptr<Store> open_other() { return std::make_unique<SqliteStore>(directory / "other.db"); }

  TemporaryDirectory directory;
};
INSTANTIATE_TYPED_TEST_SUITE_P(Sqlite, StoreTest, SqlitePlace);

struct SqliteStoreTest : testing::Test {
  TemporaryDirectory directory;
  std::filesystem::path path = directory / "store.db";
};

TEST_F(SqliteStoreTest, RefusesAFileThatIsNoStoreAndLeavesItAsItWas) {
  const auto other_program = [&] {
    detail::SqliteConnection made(path, true, std::chrono::milliseconds(0));
    made.run("CREATE TABLE notes(text)");
  };
  const auto altered = [&](const char* sql) {
    return [this, sql] {
      { SqliteStore store(path); }
      detail::SqliteConnection made(path, false, std::chrono::milliseconds(0));
      sqlite3_db_config(made.get(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
      made.run(sql);
      made.run("PRAGMA wal_checkpoint(TRUNCATE)");
    };
  };
  const std::tuple<std::function<void()>, const char*> table[] = {
      {[&] { test::write_bytes(path, std::string(10'000, 'x')); }, "is not an SQLite file; give the path of a store"},
      {[&] { test::write_bytes(path, "short"); }, "is not an SQLite file"},
      {other_program, "is an SQLite file of another program (application_id 0)"},
      {altered("PRAGMA user_version = 99"), "has schema version 99, this version of graft knows 1 to 3"},
      {altered("PRAGMA user_version = 0"), "has schema version 0"},
      {altered("PRAGMA application_id = 7"), "of another program (application_id 7)"},
      {altered("CREATE TABLE extra(x)"), "holds the table \"extra\", which no store has"},
      {altered("CREATE TRIGGER evil AFTER INSERT ON documents BEGIN DELETE FROM passages; END"),
       "holds the trigger \"evil\""},
      {altered("CREATE VIEW evil AS SELECT * FROM documents"), "holds the view \"evil\""},
      {altered("DROP TABLE attributes"), "lacks tables that every store has"},
      {altered("ALTER TABLE documents ADD COLUMN x"), "holds the table \"documents\", which no store has"},
      {altered("DELETE FROM store"), "has lost its generation number"},
  };
  for (const auto& [make, part] : table) {
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + suffix);
    make();
    const std::string before = test::read_bytes(path);
    expect_error<FormatError>([&] { SqliteStore store(path); }, part);
    EXPECT_EQ(test::read_bytes(path), before) << part;
  }
  expect_error<FileError>([&] { SqliteStore store(directory / "missing.db", {.create = false}); },
                          "missing.db\": cannot be opened: there is no such file; check the path");
  expect_error<FileError>([&] { SqliteStore store(directory.path()); },
                          "cannot be opened: it is a directory; give the path of a file");
  expect_error<FileError>([&] { SqliteStore store(directory / "no/such/place.db"); },
                          "cannot be opened: its directory is not there; make it or check the path");
  detail::SqliteConnection connection(":memory:", true, std::chrono::milliseconds(0));
  expect_error<FileError>([&] { connection.check(SQLITE_FULL, ""); }, "cannot be written: the disk is full; make room");
  expect_error<FileError>([&] { connection.check(SQLITE_READONLY_DBMOVED, ""); }, "the file was moved or deleted");
  expect_error<FileError>([&] { connection.check(SQLITE_IOERR_READ, ""); }, "cannot be read: the disk failed");
  expect_error<FileError>([&] { connection.check(SQLITE_IOERR_LOCK, ""); }, "(is it on a network file system?)");
  expect_error<StateError>([&] { connection.check(SQLITE_BUSY_SNAPSHOT, ""); }, "another writer has held the store");
}

TEST_F(SqliteStoreTest, ATruncatedOrDamagedFileIsAnErrorAndNeverACrash) {
  {
    SqliteStore store(path);
    auto writer = store.write();
    for (int i = 0; i < 200; ++i) add(*writer, message("d", i), "some words " + std::to_string(i), {{"n", i}});
    writer->commit();
  }
  const std::string whole_file = test::read_bytes(path);
  ASSERT_GT(whole_file.size(), 20'000u);
  for (std::size_t size = 2 /* SQLite takes a file of one byte for empty */; size < whole_file.size();
       size += whole_file.size() / 37) {
    test::write_bytes(path, whole_file.substr(0, size));
    SCOPED_TRACE(size);
    expect_error<FormatError>([&] { SqliteStore(path).check(); }, "store.db");
  }
  std::mt19937_64 random(8);
  std::size_t noticed = 0;
  for (int round = 0; round < 150; ++round) {
    std::string damaged = whole_file;
    for (int i = 0; i < 20; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    test::write_bytes(path, damaged);
    try {
      SqliteStore store(path, {.create = false});
      auto snapshot = store.read();
      for (const StoredDocument& document : snapshot->documents()) snapshot->passages_of(document.id);
      snapshot->search_words("some words", 10);
      snapshot->vectors(kSpace, snapshot->vector_ids(kSpace));
      snapshot->matching(Filter::less("n", 50));
      snapshot.reset();
      store.check();
    } catch (const Error&) {
      ++noticed;
    }
  }
  EXPECT_GT(noticed, 100u);  // some changes fall on free bytes
}

// What version 1 left: the words as its tokenizer had them, and no sources.
TEST_F(SqliteStoreTest, AFileOfVersionOneIsBroughtUpToDate) {
  const std::string text = "# 数据库\nTiếng Việt and words. Straße.";
  {
    SqliteStore store(path);
    auto writer = store.write();
    const std::size_t middle = text.find(" Straße");
    for (int i = 0; i < 3; ++i)
      writer->put({.uri = message("d", i), .text = text},
                  std::vector<PassageRange>{{12, middle, "数据库"}, {middle + 1, text.size()}});
    writer->commit();
  }
  {
    detail::SqliteConnection made(path, false, std::chrono::milliseconds(0));
    made.run("DROP TABLE notes");
    made.run("DROP TABLE sources");
    made.run("DROP TABLE words");
    made.run("CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='porter unicode61')");
    made.run("INSERT INTO words(rowid, text) SELECT id, 'old words' FROM passages");
    made.run("PRAGMA user_version = 1");
  }
  SqliteStore store(path);
  store.check();
  auto writer = store.write();
  EXPECT_EQ(writer->search_words("数据", 9).size(), 3u) << "a heading's words are those of its passages";
  EXPECT_EQ(writer->search_words("strasse", 9).size(), 3u);
  EXPECT_EQ(writer->search_words("Tie\u0302\u0301ng", 9).size(), 3u);
  EXPECT_TRUE(writer->search_words("old", 9).empty());
  EXPECT_EQ(writer->find("d1")->source, "d1");
  EXPECT_TRUE(writer->remove("d1"));
  EXPECT_EQ(writer->search_words("strasse", 9).size(), 2u);
  writer->commit();
  store.check();
}

// What version 2 left: no notes.
TEST_F(SqliteStoreTest, AFileOfVersionTwoIsBroughtUpToDate) {
  {
    SqliteStore store(path);
    auto writer = store.write();
    add(*writer, "a", "some words");
    writer->commit();
  }
  {
    detail::SqliteConnection made(path, false, std::chrono::milliseconds(0));
    made.run("DROP TABLE notes");
    made.run("PRAGMA user_version = 2");
  }
  SqliteStore store(path);
  store.check();
  EXPECT_TRUE(store.read()->notes().empty());
  auto writer = store.write();
  EXPECT_EQ(writer->search_words("words", 9).size(), 1u);
  writer->set_note("a", "one");
  writer->commit();
  EXPECT_EQ(SqliteStore(path).read()->note("a"), "one");
}

TEST_F(SqliteStoreTest, CheckFindsWhatSqliteCannot) {
  const std::pair<const char*, const char*> table[] = {
      {"UPDATE vectors SET numbers = x'00'", "1 vectors of another width than their model's"},
      {"UPDATE passages SET last = 1000", "1 passages outside their text"},
      {"DELETE FROM documents", "1 passages without a document"},
      {"DELETE FROM passages", "1 vectors without a passage"},
      {"DELETE FROM spaces", "1 vectors without a model"},
      {"INSERT INTO sources VALUES(99, 'x')", "1 sources without a document"},
  };
  for (const auto& [sql, part] : table) {
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + suffix);
    SqliteStore store(path);
    auto writer = store.write();
    const PassageId id = add(*writer, "a", "text");
    writer->commit();
    store.check();
    detail::SqliteConnection(path, false, std::chrono::milliseconds(0)).run(sql);
    expect_error<FormatError>([&] { store.check(); }, part);
    if (std::string(part).find("width") != std::string::npos)
      expect_error<FormatError>([&] { store.read()->vectors(kSpace, std::vector{id}); },
                                "the vector of passage 1 has 1 bytes, but \"model-a\" needs 12");
    if (std::string(part).find("outside") != std::string::npos)
      expect_error<FormatError>([&] { store.read()->passages(std::vector{id}); },
                                "passage 1 ends at byte 1000 of a text of 4");
  }
}

TEST_F(SqliteStoreTest, RefusesOptionsOutOfRange) {
  expect_error<OptionError>([&] { SqliteStore store(path, {.document_bytes = 0}); }, "document_bytes is 0");
  expect_error<OptionError>([&] { SqliteStore store(path, {.wait = std::chrono::milliseconds(-1)}); }, "wait is -1 ms");
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace graft
