#pragma once

// What every store promises, to be run over each of them.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include <nlohmann/json.hpp>

#include "graft/retrieval/store.hpp"
#include "retrieval/add.hpp"
#include "retrieval/support.hpp"

namespace graft {

/// The options that all stores have.
struct StoreTestOptions {
  bool create = true;
  std::chrono::milliseconds wait{10'000};
  std::size_t document_bytes = 64 << 20;
};

/// Place: a fresh place of a store, with open(options) for it and open_other() for a second one beside it.
template <class Place>
class StoreTest : public testing::Test {
 public:
  std::unique_ptr<Store> open(const StoreTestOptions& options = {}) { return place_.open(options); }
  std::unique_ptr<Store> open_other() { return place_.open_other(); }

 private:
  Place place_;
};
TYPED_TEST_SUITE_P(StoreTest);

using test::expect_error;

TYPED_TEST_P(StoreTest, GivesBackWhatWasPut) {
  const auto store = this->open();
  const std::string text = "# Bilder\nGrößer und kleiner.\n\nZweiter Absatz 🎈.";
  std::vector<PassageId> ids;
  {
    auto writer = store->write();
    ids = writer->put({.uri = "de.md", .text = text, .metadata = {{"section", "graphics"}, {"n", 3}}, .modified = 12},
                      std::vector<PassageRange>{{9, 31, "Bilder"}, {20, text.size(), ""}}, "by hand");
    writer->add_space(kSpace);
    writer->put_vectors(kSpace, ids, std::vector<float>{1, 2, 3, 4, 5, 6});
    writer->commit();
  }
  const auto again = this->open({.create = false});
  auto snapshot = again->read();
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
  again->check();
}

TYPED_TEST_P(StoreTest, HashIsSha256OfTheText) {
  const auto store = this->open();
  auto writer = store->write();
  writer->put({.uri = "a", .text = "abc"}, {});
  writer->put({.uri = "b", .text = ""}, {});
  writer->put({.uri = "c", .text = std::string(1'000'000, 'a')}, {});
  // FIPS 180-4 examples.
  EXPECT_EQ(writer->find("a")->hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(writer->find("b")->hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(writer->find("c")->hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TYPED_TEST_P(StoreTest, ReplacingADocumentForgetsItsOldWordsVectorsAndMetadata) {
  const auto store = this->open();
  PassageId old = 0, fresh = 0;
  {
    auto writer = store->write();
    old = add(*writer, "a", "elephants walk", {{"animal", "elephant"}});
    add(*writer, "b", "something else");
    writer->commit();
  }
  {
    auto writer = store->write();
    fresh = add(*writer, "a", "tigers run", {{"animal", "tiger"}});
    writer->commit();
  }
  auto snapshot = store->read();
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
  store->check();
}

TYPED_TEST_P(StoreTest, RemovalLeavesNothingBehindAndNeverGivesAnIdTwice) {
  const auto store = this->open();
  PassageId last = 0;
  for (int round = 0; round < 3; ++round) {
    auto writer = store->write();
    const PassageId id = add(*writer, "a", "words of a", {{"k", 1}});
    EXPECT_GT(id, last);
    last = id;
    EXPECT_TRUE(writer->remove("a"));
    EXPECT_FALSE(writer->remove("a"));
    writer->commit();
  }
  auto snapshot = store->read();
  EXPECT_EQ(snapshot->size().passages, 0u);
  EXPECT_TRUE(snapshot->vector_ids(kSpace).empty());
  EXPECT_TRUE(snapshot->search_words("words", 9).empty());
  EXPECT_TRUE(snapshot->matching(Filter::exists("uri")).empty());
  store->check();
}

TYPED_TEST_P(StoreTest, SetMetadataKeepsPassagesAndVectors) {
  const auto store = this->open();
  auto writer = store->write();
  const PassageId id = add(*writer, "a", "text", {{"k", 1}});
  writer->set_metadata("a", {{"k", 2}}, 99);
  EXPECT_EQ(writer->matching(Filter::equal("k", 2)), std::vector<PassageId>{id});
  EXPECT_TRUE(writer->matching(Filter::equal("k", 1)).empty());
  EXPECT_EQ(writer->matching(Filter::equal("modified", 99)), std::vector<PassageId>{id});
  EXPECT_EQ(writer->vector_ids(kSpace), std::vector<PassageId>{id});
  expect_error<OptionError>([&] { writer->set_metadata("b", Json::object(), 0); }, "there is no document \"b\"");
}

TYPED_TEST_P(StoreTest, SeveralModelsLieSideBySide) {
  const VectorSpace other{"model-b", 2, Metric::inner_product};
  const auto store = this->open();
  auto writer = store->write();
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

TYPED_TEST_P(StoreTest, RefusesAVectorThatDoesNotBelong) {
  const auto store = this->open();
  auto writer = store->write();
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

TYPED_TEST_P(StoreTest, NothingShowsBeforeCommitAndNothingStaysWithoutIt) {
  const auto store = this->open();
  {
    auto writer = store->write();
    add(*writer, "a", "one");
    EXPECT_EQ(store->read()->size().documents, 0u);
    EXPECT_EQ(writer->size().documents, 1u);
  }
  EXPECT_EQ(store->read()->size().documents, 0u);
  auto writer = store->write();
  add(*writer, "a", "one");
  auto before = store->read();
  writer->commit();
  EXPECT_EQ(before->size().documents, 0u) << "a snapshot saw a later commit";
  EXPECT_EQ(store->read()->size().documents, 1u);
  EXPECT_EQ(store->read()->generation(), before->generation() + 1);
  expect_error<StateError>([&] { writer->remove("a"); }, "this writer has ended");
  expect_error<StateError>([&] { writer->commit(); }, "this writer has ended");
}

TYPED_TEST_P(StoreTest, StampsNameStatesAndTellWhatFollowsWhat) {
  const auto store = this->open(), other = this->open_other();
  const std::string empty = store->read()->stamp();
  EXPECT_NE(empty, other->read()->stamp());
  EXPECT_FALSE(store->read()->follows(other->read()->stamp()));
  auto writer = store->write();
  add(*writer, "a", "one");
  writer->commit();
  EXPECT_NE(store->read()->stamp(), empty);
  EXPECT_TRUE(store->read()->follows(empty));
  const std::string now = store->read()->stamp();
  store->write()->commit();
  EXPECT_EQ(store->read()->stamp(), now) << "a commit of nothing made another state";
}

TYPED_TEST_P(StoreTest, ASnapshotOutlivesItsStore) {
  std::unique_ptr<Snapshot> snapshot;
  {
    const auto store = this->open();
    auto writer = store->write();
    add(*writer, "a", "one");
    writer->commit();
    snapshot = store->read();
  }
  EXPECT_EQ(snapshot->size().documents, 1u);
}

TYPED_TEST_P(StoreTest, ASecondWriterIsTold) {
  const auto store = this->open(), other = this->open({.wait = std::chrono::milliseconds(20)});
  auto writer = store->write();
  expect_error<StateError>([&] { other->write(); }, "try again, or raise the option \"wait\"");
  writer->commit();
  EXPECT_NO_THROW(other->write()->commit());
}

TYPED_TEST_P(StoreTest, AFailedCallLeavesTheOthersOfItsWriter) {
  const auto store = this->open({.document_bytes = 100});
  auto writer = store->write();
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
  expect_error<OptionError>([&] { writer->put({.uri = "a", .text = "x"}, {}, "\xff"); },
                            "the name of a way of cutting is not UTF-8 at byte 0");
  expect_error<OptionError>(
      [&] {
        writer->add_space({std::string("m\0n", 3), 3, Metric::cosine});
      },
      "the fingerprint of a model holds a NUL at byte 1");
  EXPECT_FALSE(writer->find(std::string_view("a\0b", 3)));
  EXPECT_FALSE(writer->find("\xff"));
  EXPECT_FALSE(writer->follows("\xff"));
  Json deep = 1;
  for (int i = 0; i < 20; ++i) deep = Json::array({deep});
  expect_error<OptionError>(put({.uri = "a", .text = "x", .metadata = {{"k", deep}}}),
                            "more than 16 lists and objects");
  writer->commit();
  EXPECT_EQ(store->read()->size().documents, 1u);
  store->check();
}

TYPED_TEST_P(StoreTest, SqlInAnyTextIsText) {
  const std::string evil = "'; DROP TABLE documents; --\" OR 1=1 /* */ %s $1 ?1 NEAR(a b) * AND text:x ^";
  const auto store = this->open();
  {
    auto writer = store->write();
    writer->add_space({evil, 1, Metric::inner_product});
    const auto ids = writer->put({.uri = evil, .text = evil, .metadata = {{evil, evil}}},
                                 std::vector<PassageRange>{{0, evil.size(), evil}}, evil);
    writer->put_vectors({evil, 1, Metric::inner_product}, ids, std::vector<float>{1});
    add(*writer, "harmless", "nothing of it");
    writer->commit();
  }
  auto snapshot = store->read();
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
  EXPECT_TRUE(store->write()->remove(evil));
  store->check();
}

TYPED_TEST_P(StoreTest, AQuestionMayHaveThousandsOfWords) {
  const auto store = this->open();
  auto writer = store->write();
  const PassageId id = add(*writer, "a", "needle in a haystack");
  std::string question;
  for (int i = 0; i < 20'000; ++i) question += "word" + std::to_string(i) + " ";
  EXPECT_TRUE(writer->search_words(question, 5).empty());
  EXPECT_EQ(writer->search_words(question + "Needles", 5).at(0).id, id);
}

/// Whether the filter holds for metadata, worked out from the JSON alone.
inline bool holds(const Filter& filter, const Json& metadata) {
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

TYPED_TEST_P(StoreTest, FiltersSelectWhatTheirMeaningSays) {
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
  const auto store = this->open();
  auto writer = store->write();
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

TYPED_TEST_P(StoreTest, FiltersMayBeAsLongAndDeepAsTheirTextMay) {
  const auto store = this->open();
  auto writer = store->write();
  const PassageId id = add(*writer, "d", "text", {{"a", 1}});
  std::string many = "a = 1", nots, nested = "a in (1, 'x')";
  for (int i = 0; i < 3000; ++i) many += " or a = 2";
  for (int i = 0; i < 64; ++i) {
    nots += "not ";
    nested = "(b = 2 and c exists or " + nested + ")";
  }
  for (const std::string& text : {many, nots + "a = 1", nested, "a > 0 and " + nested}) {
    const Filter filter = Filter::parse(text);
    EXPECT_EQ(writer->matching(filter), std::vector<PassageId>{id}) << text;
    EXPECT_EQ(writer->search_words("text", 5, &filter).size(), 1u) << text;
    EXPECT_TRUE(writer->matching(!filter).empty()) << text;
  }
}

TYPED_TEST_P(StoreTest, NestedMetadataIsReachedByDots) {
  const auto store = this->open();
  auto writer = store->write();
  const PassageId id = add(*writer, "a", "x", {{"author", {{"name", "Ada"}, {"born", 1815}}}, {"tags", {"x", "y"}}});
  for (const char* filter : {"author.name = 'Ada'", "author.born < 1900", "tags = 'y'", "uri = 'a'", "modified = 0"})
    EXPECT_EQ(writer->matching(Filter::parse(filter)), std::vector<PassageId>{id}) << filter;
}

/// Documents whose text holds what a question asks for, written in another way.
TYPED_TEST_P(StoreTest, FindsWordsHoweverTheyAreWritten) {
  const struct {
    const char *text, *question;
  } table[] = {
      {"我们把数据库迁移到了新的服务器。", "数据库"},
      {"東京駅で新幹線に乗り換えました。", "新幹線"},
      {"ฉันกินข้าวผัดที่ตลาดทุกวัน", "ข้าวผัด"},
      {"ខ្ញុំស្រឡាញ់ភាសាខ្មែរ", "ភាសាខ្មែរ"},
      {"ພາສາລາວງ່າຍ", "ລາວ"},
      {"မြန်မာစကားပြော", "စကား"},
      {"大韓民國 대한민국의 수도", "대한민국"},
      {"ti\u1ebfng Vi\u1ec7t", "tie\u0302\u0301ng"},                   // composed, decomposed
      {"pho\u031b\u0309 bo\u0300", "ph\u1edf"},                        // and back
      {"\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165", "한국어"},  // Hangul in parts
      {"ﾃﾞｰﾀﾍﾞｰｽを使う", "データベース"},                              // half width
      {"ＡＢＣ１２３", "abc123"},                                      // full width
      {"STRASSE", "straße"},
      {"ΟΔΥΣΣΕΥΣ", "οδυσσευς"},
      {"naïve café", "NAIVE CAFE"},
      {"مُحَمَّد", "محمد"},
      {"שָׁלוֹם", "שלום"},
      {"हिन्दी भाषा", "भाषा"},
      {"password reset", "password\u00a0reset"},
      {"password reset", "\u201cpassword\u201d\u2014reset\u2026"},
      {"password reset", "password\u200breset"},
      {"password reset", "password\u3000reset"},
      {"co\u00adoperate", "cooperate"},  // a soft hyphen is not seen
      {"Python编程", "python"},
      {"Python编程", "编程"},
  };
  const auto store = this->open();
  auto writer = store->write();
  add(*writer, "other", "nothing of it, 没有, ไม่มี, 없다");
  for (const auto& [text, question] : table) {
    const PassageId id = add(*writer, "it", text);
    const auto found = writer->search_words(question, 9);
    ASSERT_EQ(found.size(), 1u) << text << " by " << question;
    EXPECT_EQ(found[0].id, id);
    // The words that are there are taken out again as they were put in.
    EXPECT_TRUE(writer->remove("it"));
    EXPECT_TRUE(writer->search_words(question, 9).empty()) << question;
  }
  const PassageId vowels = add(*writer, "hi", "कि");
  EXPECT_TRUE(writer->search_words("क", 9).empty()) << "a vowel sign is no accent";
  EXPECT_EQ(writer->search_words("कि", 9).at(0).id, vowels);
  writer->commit();
  store->check();
}

TYPED_TEST_P(StoreTest, KnowsWhatItsDocumentsWereReadFrom) {
  const auto store = this->open();
  auto writer = store->write();
  const auto put = [&](const std::string& uri, const std::string& source) {
    writer->put({.uri = uri, .text = "x", .source = source}, whole("x"));
  };
  put("/d/a.txt", "");
  put("1", "/d/rows.jsonl");
  put("2", "/d/rows.jsonl");
  put("/d/deep/b.txt", "/d/deep/b.txt");
  put("/d2/c.txt", "");
  put("/d", "elsewhere");
  const auto uris = [&](std::string_view place) {
    std::vector<std::string> out;
    for (const DocumentOrigin& origin : writer->origins(place)) {
      out.push_back(origin.uri);
      EXPECT_EQ(writer->find(origin.uri)->id, origin.id);
      EXPECT_EQ(writer->find(origin.uri)->source, origin.source);
    }
    return out;
  };
  using Uris = std::vector<std::string>;
  EXPECT_EQ(uris("/d"), (Uris{"/d/a.txt", "1", "2", "/d/deep/b.txt"}));
  EXPECT_EQ(uris("/d/"), uris("/d"));
  EXPECT_EQ(uris("/d/rows.jsonl"), (Uris{"1", "2"}));
  EXPECT_EQ(uris("/d/r"), Uris{}) << "half a name is no directory";
  EXPECT_EQ(uris("/"), (Uris{"/d/a.txt", "1", "2", "/d/deep/b.txt", "/d2/c.txt"}));
  EXPECT_EQ(uris("\xff"), Uris{});
  writer->set_metadata("1", Json::object(), 5, "/d/moved.jsonl");
  writer->set_metadata("2", Json::object(), 5);
  EXPECT_EQ(writer->find("1")->source, "/d/moved.jsonl");
  EXPECT_EQ(writer->find("2")->source, "/d/rows.jsonl");
  expect_error<OptionError>([&] { put("x", "\xff"); }, "is not UTF-8 at byte 0; convert it first");
  expect_error<OptionError>([&] { writer->set_metadata("2", Json::object(), 5, std::string(5000, 's')); },
                            "has 5000 bytes; at most 4096 are kept");
  put("1", "");
  EXPECT_EQ(writer->find("1")->source, "1") << "a document that is replaced has the source of the new one";
  EXPECT_TRUE(writer->remove("2"));
  EXPECT_EQ(uris("/d/rows.jsonl"), Uris{});
  writer->commit();
  store->check();
}

TYPED_TEST_P(StoreTest, NamesTheDocumentsOfPassages) {
  const auto store = this->open();
  auto writer = store->write();
  const PassageId a = add(*writer, "a", "one"), b = add(*writer, "b", "two");
  const DocumentId in_a = writer->find("a")->id, in_b = writer->find("b")->id;
  EXPECT_EQ(writer->documents_of(std::vector{b, a, b}), (std::vector{in_b, in_a, in_b}));
  expect_error<OptionError>([&] { writer->documents_of(std::vector<PassageId>{a, 99}); }, "there is no passage 99");
}

TYPED_TEST_P(StoreTest, KeepsNotesBesideTheDocuments) {
  const auto store = this->open();
  const std::string evil = "'; DROP TABLE notes; --\" $1 ?1";
  {
    auto writer = store->write();
    EXPECT_FALSE(writer->note("a"));
    EXPECT_FALSE(writer->remove_note("a"));
    writer->set_note("a", "one");
    writer->set_note("a", "zwei ✓");
    writer->set_note(evil, evil);
    writer->set_note(std::string(4096, 'n'), std::string(1 << 20, 't'));
    writer->set_note("empty", "");
    EXPECT_FALSE(store->read()->note("a")) << "before commit()";
    EXPECT_EQ(writer->note("a"), "zwei ✓");
    const std::tuple<std::string, std::string, const char*> table[] = {
        {"", "x", "the name of a note has 0 bytes; choose one of 1 to 4096"},
        {std::string(4097, 'n'), "x", "the name of a note has 4097 bytes"},
        {"\xff", "x", "is not UTF-8 at byte 0"},
        {std::string("n\0", 2), "x", "holds a NUL at byte 1"},
        {"a", "\xff", "the note \"a\" is not UTF-8 at byte 0"},
        {"a", std::string("\0", 1), "the note \"a\" holds a NUL at byte 0"},
        {"a", std::string((1 << 20) + 1, 't'), "the note \"a\" has 1048577 bytes; at most 1048576 are kept"},
    };
    for (const auto& [name, text, part] : table)
      expect_error<OptionError>([&, &name = name, &text = text] { writer->set_note(name, text); }, part);
    EXPECT_EQ(writer->note("a"), "zwei ✓") << "a failed call changed something";
    writer->commit();
  }
  const std::string stamp = store->read()->stamp();
  auto snapshot = this->open({.create = false})->read();
  EXPECT_EQ(snapshot->note("a"), "zwei ✓");
  EXPECT_EQ(snapshot->note("empty"), "");
  EXPECT_EQ(snapshot->note("A"), std::nullopt);
  EXPECT_EQ(snapshot->note("\xff"), std::nullopt);
  const auto notes = snapshot->notes();
  EXPECT_EQ(notes.size(), 4u);
  EXPECT_EQ(notes.at(evil), evil);
  EXPECT_EQ(notes.at(std::string(4096, 'n')).size(), std::size_t{1} << 20);
  auto writer = store->write();
  EXPECT_TRUE(writer->remove_note("a"));
  EXPECT_FALSE(writer->note("a"));
  writer->commit();
  EXPECT_EQ(store->read()->notes().size(), 3u);
  EXPECT_EQ(snapshot->note("a"), "zwei ✓") << "a snapshot saw a later commit";
  EXPECT_NE(store->read()->stamp(), stamp);
  expect_error<StateError>([&] { writer->set_note("a", "x"); }, "this writer has ended");
  store->check();
}

REGISTER_TYPED_TEST_SUITE_P(StoreTest, GivesBackWhatWasPut, HashIsSha256OfTheText,
                            ReplacingADocumentForgetsItsOldWordsVectorsAndMetadata,
                            RemovalLeavesNothingBehindAndNeverGivesAnIdTwice, SetMetadataKeepsPassagesAndVectors,
                            SeveralModelsLieSideBySide, RefusesAVectorThatDoesNotBelong,
                            NothingShowsBeforeCommitAndNothingStaysWithoutIt, StampsNameStatesAndTellWhatFollowsWhat,
                            ASnapshotOutlivesItsStore, ASecondWriterIsTold, AFailedCallLeavesTheOthersOfItsWriter,
                            SqlInAnyTextIsText, AQuestionMayHaveThousandsOfWords, FiltersSelectWhatTheirMeaningSays,
                            FiltersMayBeAsLongAndDeepAsTheirTextMay, NestedMetadataIsReachedByDots,
                            FindsWordsHoweverTheyAreWritten, KnowsWhatItsDocumentsWereReadFrom,
                            NamesTheDocumentsOfPassages, KeepsNotesBesideTheDocuments);

}  // namespace graft
