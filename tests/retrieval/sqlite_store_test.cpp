#include "graft/retrieval/sqlite_store.hpp"

#include <functional>
#include <set>

#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

const VectorSpace kSpace{"model-a", 3, Metric::cosine};

std::vector<PassageRange> whole(const std::string& text) { return {{0, text.size()}}; }

/// Adds a document of one passage with a vector.
PassageId add(Writer& writer, const std::string& uri, const std::string& text, const Json& metadata = Json::object(),
              std::vector<float> vector = {1, 0, 0}) {
  const auto ids = writer.put({.uri = uri, .text = text, .metadata = metadata}, whole(text));
  writer.add_space(kSpace);
  writer.put_vectors(kSpace, ids, vector);
  return ids[0];
}

struct SqliteStoreTest : testing::Test {
  TemporaryDirectory directory;
  std::filesystem::path path = directory / "store.db";
};

TEST_F(SqliteStoreTest, GivesBackWhatWasPut) {
  SqliteStore store(path);
  const std::string text = "# Bilder\nGrößer und kleiner.\n\nZweiter Absatz 🎈.";
  std::vector<PassageId> ids;
  {
    auto writer = store.write();
    ids = writer->put({.uri = "de.md", .text = text, .metadata = {{"section", "graphics"}, {"n", 3}}, .modified = 12},
                      std::vector<PassageRange>{{9, 31, "Bilder"}, {20, text.size(), ""}}, "by hand");
    writer->add_space(kSpace);
    writer->put_vectors(kSpace, ids, std::vector<float>{1, 2, 3, 4, 5, 6});
    writer->commit();
  }
  SqliteStore again(path, {.create = false});
  auto snapshot = again.read();
  const auto document = snapshot->find("de.md");
  ASSERT_TRUE(document);
  EXPECT_EQ(document->metadata, (Json{{"section", "graphics"}, {"n", 3}}));
  EXPECT_EQ(document->modified, 12);
  EXPECT_EQ(document->cutting, "by hand");
  EXPECT_EQ(document->bytes, text.size());
  EXPECT_EQ(document->passages, 2u);
  EXPECT_EQ(document->hash.size(), 64u);
  EXPECT_EQ(snapshot->text(document->id), text);
  const auto passages = snapshot->passages(std::vector<PassageId>{ids[1], ids[0]});
  EXPECT_EQ(passages[0].text, text.substr(20));
  EXPECT_EQ(passages[1].text, text.substr(9, 22));
  EXPECT_EQ(passages[1].range.heading, "Bilder");
  EXPECT_EQ(passages[1].order, 0);
  EXPECT_EQ(snapshot->passages_of(document->id, 1, 1).at(0).id, ids[1]);
  EXPECT_EQ(snapshot->spaces(), std::vector<VectorSpace>{kSpace});
  EXPECT_EQ(snapshot->vector_ids(kSpace), ids);
  EXPECT_EQ(snapshot->vectors(kSpace, std::vector<PassageId>{ids[1]}), (std::vector<float>{4, 5, 6}));
  EXPECT_EQ(snapshot->size().documents, 1u);
  EXPECT_EQ(snapshot->size().passages, 2u);
  EXPECT_FALSE(snapshot->find("other"));
  again.check();
}

TEST_F(SqliteStoreTest, HashIsSha256OfTheText) {
  SqliteStore store(path);
  auto writer = store.write();
  writer->put({.uri = "a", .text = "abc"}, {});
  writer->put({.uri = "b", .text = ""}, {});
  writer->put({.uri = "c", .text = std::string(1'000'000, 'a')}, {});
  // FIPS 180-4 examples.
  EXPECT_EQ(writer->find("a")->hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(writer->find("b")->hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(writer->find("c")->hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_F(SqliteStoreTest, ReplacingADocumentForgetsItsOldWordsVectorsAndMetadata) {
  SqliteStore store(path);
  PassageId old = 0, fresh = 0;
  {
    auto writer = store.write();
    old = add(*writer, "a", "elephants walk", {{"animal", "elephant"}});
    add(*writer, "b", "something else");
    writer->commit();
  }
  {
    auto writer = store.write();
    fresh = add(*writer, "a", "tigers run", {{"animal", "tiger"}});
    writer->commit();
  }
  auto snapshot = store.read();
  EXPECT_NE(fresh, old);
  EXPECT_TRUE(snapshot->search_words("elephant", 9).empty());
  EXPECT_EQ(snapshot->search_words("tiger", 9).at(0).id, fresh);
  EXPECT_TRUE(snapshot->matching(Filter::equal("animal", "elephant")).empty());
  EXPECT_EQ(snapshot->matching(Filter::equal("animal", "tiger")), std::vector<PassageId>{fresh});
  EXPECT_EQ(snapshot->vector_ids(kSpace).size(), 2u);
  expect_error<OptionError>([&] { snapshot->passages(std::vector{old}); }, "there is no passage 1");
  expect_error<OptionError>([&] { snapshot->vectors(kSpace, std::vector{old}); },
                            "passage 1 has no vector of model \"model-a\"");
  expect_error<OptionError>([&] { snapshot->text(99); }, "there is no document 99");
  store.check();
}

TEST_F(SqliteStoreTest, RemovalLeavesNothingBehindAndNeverGivesAnIdTwice) {
  SqliteStore store(path);
  PassageId last = 0;
  for (int round = 0; round < 3; ++round) {
    auto writer = store.write();
    const PassageId id = add(*writer, "a", "words of a", {{"k", 1}});
    EXPECT_GT(id, last);
    last = id;
    EXPECT_TRUE(writer->remove("a"));
    EXPECT_FALSE(writer->remove("a"));
    writer->commit();
  }
  auto snapshot = store.read();
  EXPECT_EQ(snapshot->size().passages, 0u);
  EXPECT_TRUE(snapshot->vector_ids(kSpace).empty());
  EXPECT_TRUE(snapshot->search_words("words", 9).empty());
  EXPECT_TRUE(snapshot->matching(Filter::exists("uri")).empty());
  store.check();
}

TEST_F(SqliteStoreTest, SetMetadataKeepsPassagesAndVectors) {
  SqliteStore store(path);
  auto writer = store.write();
  const PassageId id = add(*writer, "a", "text", {{"k", 1}});
  writer->set_metadata("a", {{"k", 2}}, 99);
  EXPECT_EQ(writer->matching(Filter::equal("k", 2)), std::vector<PassageId>{id});
  EXPECT_TRUE(writer->matching(Filter::equal("k", 1)).empty());
  EXPECT_EQ(writer->matching(Filter::equal("modified", 99)), std::vector<PassageId>{id});
  EXPECT_EQ(writer->vector_ids(kSpace), std::vector<PassageId>{id});
  expect_error<OptionError>([&] { writer->set_metadata("b", Json::object(), 0); }, "there is no document \"b\"");
}

TEST_F(SqliteStoreTest, SeveralModelsLieSideBySide) {
  const VectorSpace other{"model-b", 2, Metric::inner_product};
  SqliteStore store(path);
  auto writer = store.write();
  const PassageId id = add(*writer, "a", "text");
  writer->add_space(other);
  writer->add_space(other);
  writer->put_vectors(other, std::vector{id}, std::vector<float>{0, 0});
  EXPECT_EQ(writer->spaces(), (std::vector<VectorSpace>{kSpace, other}));
  EXPECT_EQ(writer->vectors(other, std::vector{id}), (std::vector<float>{0, 0}));
  expect_error<OptionError>(
      [&] {
        writer->put_vectors(other, std::vector{id}, std::vector<float>{7, 8});
      },
      "passage 1 has a vector of this model already");
  EXPECT_TRUE(writer->remove_space(kSpace));
  EXPECT_FALSE(writer->remove_space(kSpace));
  EXPECT_TRUE(writer->vector_ids(kSpace).empty());
  EXPECT_EQ(writer->vector_ids(other), std::vector<PassageId>{id});
}

TEST_F(SqliteStoreTest, RefusesAVectorThatDoesNotBelong) {
  SqliteStore store(path);
  auto writer = store.write();
  const PassageId id = add(*writer, "a", "text");
  const auto put = [&](VectorSpace space, std::vector<PassageId> ids, std::vector<float> vectors) {
    return [&, space, ids, vectors] { writer->put_vectors(space, ids, vectors); };
  };
  expect_error<OptionError>(put({"model-b", 3, Metric::cosine}, {id}, {1, 2, 3}),
                            "holds no vectors of model \"model-b\" yet");
  expect_error<OptionError>(put({"model-a", 4, Metric::cosine}, {id}, {1, 2, 3, 4}),
                            "are 3 wide and compared by cosine, not 4 wide by cosine");
  expect_error<OptionError>(put({"model-a", 3, Metric::euclidean}, {id}, {1, 2, 3}), "not 3 wide by euclidean");
  expect_error<ShapeError>(put(kSpace, {id}, {1, 2}),
                           "1 vector rows of model \"model-a\" need 1 x 3 numbers, but 2 were given");
  expect_error<OptionError>(put(kSpace, {id}, {1, NAN, 2}), "not finite");
  expect_error<OptionError>(put(kSpace, {id}, {0, 0, 0}), "is zero, which has no cosine");
  const PassageId bare = writer->put({.uri = "b", .text = "x"}, whole("x"))[0];
  expect_error<OptionError>(put(kSpace, {bare, 77}, {9, 9, 9, 1, 2, 3}), "there is no passage 77");
  EXPECT_EQ(writer->vector_ids(kSpace), std::vector<PassageId>{id}) << "a failed call changed something";
  expect_error<OptionError>([&] { writer->add_space({"model-a", 9, Metric::cosine}); }, "not 9 wide");
  EXPECT_EQ(writer->vectors(kSpace, std::vector{id}), (std::vector<float>{1, 0, 0}))
      << "a failed call changed something";
  writer->commit();
}

TEST_F(SqliteStoreTest, NothingShowsBeforeCommitAndNothingStaysWithoutIt) {
  SqliteStore store(path);
  {
    auto writer = store.write();
    add(*writer, "a", "one");
    EXPECT_EQ(store.read()->size().documents, 0u);
    EXPECT_EQ(writer->size().documents, 1u);
  }
  EXPECT_EQ(store.read()->size().documents, 0u);
  auto writer = store.write();
  add(*writer, "a", "one");
  auto before = store.read();
  writer->commit();
  EXPECT_EQ(before->size().documents, 0u) << "a snapshot saw a later commit";
  EXPECT_EQ(store.read()->size().documents, 1u);
  EXPECT_EQ(store.read()->generation(), before->generation() + 1);
  expect_error<StateError>([&] { writer->remove("a"); }, "this writer has ended");
  expect_error<StateError>([&] { writer->commit(); }, "this writer has ended");
}

TEST_F(SqliteStoreTest, StampsNameStatesAndTellWhatFollowsWhat) {
  SqliteStore store(path), other(directory / "other.db");
  const std::string empty = store.read()->stamp();
  EXPECT_NE(empty, other.read()->stamp());
  EXPECT_FALSE(store.read()->follows(other.read()->stamp()));
  auto writer = store.write();
  add(*writer, "a", "one");
  writer->commit();
  EXPECT_NE(store.read()->stamp(), empty);
  EXPECT_TRUE(store.read()->follows(empty));
  const std::string now = store.read()->stamp();
  store.write()->commit();
  EXPECT_EQ(store.read()->stamp(), now) << "a commit of nothing made another state";
}

TEST_F(SqliteStoreTest, ASnapshotOutlivesItsStore) {
  std::unique_ptr<Snapshot> snapshot;
  {
    SqliteStore store(path);
    auto writer = store.write();
    add(*writer, "a", "one");
    writer->commit();
    snapshot = store.read();
  }
  EXPECT_EQ(snapshot->size().documents, 1u);
}

TEST_F(SqliteStoreTest, ASecondWriterIsTold) {
  SqliteStore store(path), other(path, {.wait = std::chrono::milliseconds(20)});
  auto writer = store.write();
  expect_error<StateError>([&] { other.write(); },
                           "another writer has held the store for 20 ms; try again, or raise the option \"wait\"");
  writer->commit();
  EXPECT_NO_THROW(other.write()->commit());
}

TEST_F(SqliteStoreTest, AFailedCallLeavesTheOthersOfItsWriter) {
  SqliteStore store(path, {.document_bytes = 100});
  auto writer = store.write();
  add(*writer, "good", "kept");
  const std::string text = "größer";
  const auto put = [&](Document document, std::vector<PassageRange> ranges = {}) {
    return [&, document, ranges] { writer->put(document, ranges); };
  };
  const std::pair<std::function<void()>, const char*> table[] = {
      {put({.uri = "", .text = "x"}), "a document has an empty uri"},
      {put({.uri = std::string("a\0b", 3), .text = "x"}), "the uri \"a\\x00b\" holds a NUL at byte 1"},
      {put({.uri = "\xff", .text = "x"}), "is not UTF-8 at byte 0"},
      {put({.uri = std::string(5000, 'u'), .text = "x"}), "has 5000 bytes; at most 4096 are kept"},
      {put({.uri = "a", .text = "x\xc3"}), "document \"a\" is not UTF-8 at byte 1; convert it first"},
      {put({.uri = "a", .text = "\xed\xa0\x80"}), "is not UTF-8 at byte 0"},
      {put({.uri = "a", .text = std::string("PK\0\1", 4)}),
       "document \"a\" holds a NUL at byte 2; it seems to be no text"},
      {put({.uri = "a", .text = std::string(101, 'x')}),
       "document \"a\" has 101 bytes, the limit is 100; split it, or raise"},
      {put({.uri = "a", .text = text}, {{0, 9}}),
       "passage 0: bytes 0 to 9 are not whole characters of a text of 8 bytes"},
      {put({.uri = "a", .text = text}, {{0, 8}, {0, 3}}), "passage 1: bytes 0 to 3 are not whole characters"},
      {put({.uri = "a", .text = text}, {{4, 4}}), "passage 0: bytes 4 to 4"},
      {put({.uri = "a", .text = text}, {{0, 8, "\xff"}}), "heading of passage 0 is not UTF-8"},
      {put({.uri = "a", .text = "x", .metadata = Json::array()}), "metadata is not a JSON object"},
      {put({.uri = "a", .text = "x", .metadata = {{"uri", 1}}}),
       "metadata has a key \"uri\", which is the document's own"},
      {put({.uri = "a", .text = "x", .metadata = {{"k", NAN}}}), "\"k\" is a number that is not finite"},
      {put({.uri = "a", .text = "x", .metadata = {{"k", "\xff"}}}), "\"k\" or its value is not UTF-8"},
      {put({.uri = "a", .text = "x", .metadata = {{"k", std::vector<int>(1001)}}}),
       "metadata has 1001 values; a document may have 1000"},
  };
  for (const auto& [call, part] : table) expect_error<OptionError>(call, part);
  Json deep = 1;
  for (int i = 0; i < 20; ++i) deep = Json::array({deep});
  expect_error<OptionError>(put({.uri = "a", .text = "x", .metadata = {{"k", deep}}}),
                            "more than 16 lists and objects");
  writer->commit();
  EXPECT_EQ(store.read()->size().documents, 1u);
  store.check();
}

TEST_F(SqliteStoreTest, SqlInAnyTextIsText) {
  const std::string evil = "'; DROP TABLE documents; --\" OR 1=1 /* */ %s $1 ?1 NEAR(a b) * AND text:x ^";
  SqliteStore store(path);
  {
    auto writer = store.write();
    writer->add_space({evil, 1, Metric::inner_product});
    const auto ids = writer->put({.uri = evil, .text = evil, .metadata = {{evil, evil}}},
                                 std::vector<PassageRange>{{0, evil.size(), evil}}, evil);
    writer->put_vectors({evil, 1, Metric::inner_product}, ids, std::vector<float>{1});
    add(*writer, "harmless", "nothing of it");
    writer->commit();
  }
  auto snapshot = store.read();
  EXPECT_EQ(snapshot->find(evil)->metadata.at(evil), evil);
  EXPECT_EQ(snapshot->matching(Filter::equal(evil, evil)).size(), 1u);
  EXPECT_EQ(snapshot->matching(Filter::one_of(evil, {evil, 1})).size(), 1u);
  EXPECT_TRUE(snapshot->matching(Filter::exists("x' OR '1'='1")).empty());
  EXPECT_EQ(snapshot->search_words(evil, 9).size(), 1u);
  for (const char* question : {"", "\"", "* ^ - ( )", "AND OR NOT NEAR", "text : \"", "words"})
    EXPECT_NO_THROW(snapshot->search_words(question, 9)) << question;
  expect_error<OptionError>([&] { snapshot->search_words("\xff", 1); }, "is not UTF-8 at byte 0");
  EXPECT_EQ(snapshot->vector_ids({evil, 1, Metric::inner_product}).size(), 1u);
  snapshot.reset();
  EXPECT_TRUE(store.write()->remove(evil));
  store.check();
}

TEST_F(SqliteStoreTest, AQuestionMayHaveThousandsOfWords) {
  SqliteStore store(path);
  auto writer = store.write();
  const PassageId id = add(*writer, "a", "needle in a haystack");
  std::string question;
  for (int i = 0; i < 20'000; ++i) question += "word" + std::to_string(i) + " ";
  EXPECT_TRUE(writer->search_words(question, 5).empty());
  EXPECT_EQ(writer->search_words(question + "Needles", 5).at(0).id, id);
}

/// Whether the filter holds for metadata, worked out from the JSON alone.
bool holds(const Filter& filter, const Json& metadata) {
  const auto parts = [&](const auto& combine) { return combine(filter.parts()); };
  switch (filter.kind()) {
    case Filter::Kind::all:
      return parts([&](const auto& p) {
        return std::all_of(p.begin(), p.end(), [&](const Filter& f) { return holds(f, metadata); });
      });
    case Filter::Kind::any:
      return parts([&](const auto& p) {
        return std::any_of(p.begin(), p.end(), [&](const Filter& f) { return holds(f, metadata); });
      });
    case Filter::Kind::negation:
      return !holds(filter.parts()[0], metadata);
    default:
      break;
  }
  if (!metadata.contains(filter.field())) return false;
  std::vector<Json> here = {metadata[filter.field()]};
  if (here[0].is_array()) here = here[0].get<std::vector<Json>>();
  std::erase_if(here, [](const Json& value) { return value.is_null(); });
  if (filter.kind() == Filter::Kind::exists) return !here.empty();
  for (const Json& value : here)
    for (const FilterValue& wanted : filter.values()) {
      const Json other = std::visit([](const auto& x) { return Json(x); }, wanted);
      if (value.type_name() != std::string(other.type_name())) continue;  // "number", "string", "boolean"
      const int order = value < other ? -1 : other < value ? 1 : 0;
      const bool fits = filter.kind() == Filter::Kind::less       ? order < 0
                        : filter.kind() == Filter::Kind::at_most  ? order <= 0
                        : filter.kind() == Filter::Kind::greater  ? order > 0
                        : filter.kind() == Filter::Kind::at_least ? order >= 0
                                                                  : order == 0;
      if (fits) return true;
    }
  return false;
}

TEST_F(SqliteStoreTest, FiltersSelectWhatTheirMeaningSays) {
  std::mt19937_64 random(4);
  const std::vector<Json> values = {
      1, 2, 2.0, 2.5, -1, "1", "a", "b", "ä", true, false, nullptr, Json::array({1, "a"}), Json::array()};
  const auto filter_value = [&]() -> FilterValue {
    const std::vector<FilterValue> all = {1, 2, 2.0, 2.5, -1, "1", "a", "b", "ä", true, false, "zz", 1e9};
    return all[random() % all.size()];
  };
  const std::function<Filter(int)> make = [&](int depth) -> Filter {
    const std::string field(1, "pqrs"[random() % 4]);
    switch (random() % (depth > 0 ? 10 : 7)) {
      case 0:
        return Filter::equal(field, filter_value());
      case 1:
        return Filter::less(field, filter_value());
      case 2:
        return Filter::at_most(field, filter_value());
      case 3:
        return Filter::greater(field, filter_value());
      case 4:
        return Filter::at_least(field, filter_value());
      case 5:
        return Filter::exists(field);
      case 6:
        return Filter::one_of(field, {filter_value(), filter_value()});
      case 7:
        return make(depth - 1) && make(depth - 1);
      case 8:
        return make(depth - 1) || make(depth - 1);
      default:
        return !make(depth - 1);
    }
  };
  SqliteStore store(path);
  auto writer = store.write();
  std::map<PassageId, Json> documents;
  for (int i = 0; i < 60; ++i) {
    Json metadata = Json::object();
    for (const char* field : {"p", "q", "r"})
      if (random() % 3) metadata[field] = values[random() % values.size()];
    documents[add(*writer, message("d", i), "text", metadata)] = metadata;
  }
  for (int i = 0; i < 1500; ++i) {
    const Filter filter = make(3);
    std::vector<PassageId> wanted;
    for (const auto& [id, metadata] : documents)
      if (holds(filter, metadata)) wanted.push_back(id);
    ASSERT_EQ(writer->matching(filter), wanted) << filter.text();
    std::set<PassageId> by_words;
    for (const Scored& entry : writer->search_words("text", 100, &filter)) by_words.insert(entry.id);
    ASSERT_EQ(std::vector<PassageId>(by_words.begin(), by_words.end()), wanted) << filter.text();
  }
}

TEST_F(SqliteStoreTest, NestedMetadataIsReachedByDots) {
  SqliteStore store(path);
  auto writer = store.write();
  const PassageId id = add(*writer, "a", "x", {{"author", {{"name", "Ada"}, {"born", 1815}}}, {"tags", {"x", "y"}}});
  for (const char* filter : {"author.name = 'Ada'", "author.born < 1900", "tags = 'y'", "uri = 'a'", "modified = 0"})
    EXPECT_EQ(writer->matching(Filter::parse(filter)), std::vector<PassageId>{id}) << filter;
}

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
      {altered("PRAGMA user_version = 99"), "has schema version 99, this version of graft knows 1 to 1"},
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
  expect_error<FileError>([&] { SqliteStore store(directory / "missing.db", {.create = false}); }, "cannot be opened");
  expect_error<FileError>([&] { SqliteStore store(directory.path()); }, "cannot be opened");
  expect_error<FileError>([&] { SqliteStore store(directory / "no/such/place.db"); }, "check the path");
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

TEST_F(SqliteStoreTest, CheckFindsWhatSqliteCannot) {
  const std::pair<const char*, const char*> table[] = {
      {"UPDATE vectors SET numbers = x'00'", "1 vectors of another width than their model's"},
      {"UPDATE passages SET last = 1000", "1 passages outside their text"},
      {"DELETE FROM documents", "1 passages without a document"},
      {"DELETE FROM passages", "1 vectors without a passage"},
      {"DELETE FROM spaces", "1 vectors without a model"},
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
