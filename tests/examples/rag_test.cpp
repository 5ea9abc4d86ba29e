#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "rag/http/servers.hpp"
#include "retrieval/postgres/server.hpp"
#include "support/error_message.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The program as its users run it, on a few small files.

namespace {

const std::string program = GRAFT_BIN "/rag";
const std::string model = GRAFT_DEPS "/model";

class Rag : public testing::Test {
 protected:
  void SetUp() override {
    setenv("XDG_DATA_HOME", path("data").c_str(), 1);
    write("notes/images.txt",
          "ImageMagick's convert changes the size of a picture: convert in.png -resize 50% out.png");
    write("notes/deep/audio.md",
          "# Sound\n\nAll of it.\n\n## Formats\n\nsox turns one kind of audio file into another.\n");
    write(
        "notes/rows.jsonl",
        R"({"id": "wget", "text": "Fetches files over HTTP and FTP.", "metadata": {"section": "web"}, "year": 1996})"
        "\n\n"
        R"({"id": "gimp", "text": "Draws and edits pictures by hand.", "metadata": {"section": "graphics"}, "year": 1998})"
        "\n");
  }

  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((directory_ / name).parent_path());
    graft::write_file(directory_ / name, text);
  }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  ProgramResult run(const std::string& arguments) const {
    return run_program(program + " " + arguments + " --threads 2");
  }

  /// `rag index`, with the model and the store.
  ProgramResult index(const std::string& arguments) const {
    return run("index --store " + path("my.db") + " --model " + model + " " + arguments);
  }

  graft::Json search(const std::string& arguments) const {
    const ProgramResult result = run("search --json --store " + path("my.db") + " " + arguments);
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result.exit_code == 0 ? graft::parse_json(result.output, "search")["hits"] : graft::Json();
  }

  graft::StoreSize size() const { return graft::SqliteStore(directory_ / "my.db", {.create = false}).read()->size(); }

  TemporaryDirectory directory_;
};

bool says(const ProgramResult& result, const std::string& part) {
  return result.output.find(part) != std::string::npos;
}

TEST_F(Rag, IndexesFilesOfEveryKindAndFindsThem) {
  const ProgramResult first = index(path("notes"));
  EXPECT_EQ(first.exit_code, 0) << first.output;
  EXPECT_TRUE(says(first, "4 documents: 4 new, 0 changed, 0 completed, 0 unchanged, 0 refused")) << first.output;
  EXPECT_TRUE(says(first, "tokens/s")) << first.output;

  const graft::Json hits = search("'make photographs smaller'");
  ASSERT_GE(hits.size(), 1u);
  EXPECT_EQ(hits[0]["uri"], std::filesystem::canonical(directory_ / "notes/images.txt").string());
  EXPECT_EQ(hits[0]["begin"], 0);
  EXPECT_TRUE(hits[0]["similarity"].is_number());
  const graft::Json sound = search("'convert between audio formats' --mode dense --top 1");
  ASSERT_EQ(sound.size(), 1u);
  EXPECT_EQ(sound[0]["heading"], "Sound");
  EXPECT_EQ(sound[0]["text"], "## Formats\n\nsox turns one kind of audio file into another.");
  EXPECT_TRUE(sound[0]["word_score"].is_null());
  const graft::Json words = search("'edits pictures' --mode bm25 --top 1");
  ASSERT_EQ(words.size(), 1u);
  EXPECT_EQ(words[0]["uri"], "gimp");
  EXPECT_EQ(words[0]["metadata"], (graft::Json{{"section", "graphics"}, {"year", 1998}}));

  const ProgramResult plain = run("search 'make photographs smaller' --top 1 --store " + path("my.db"));
  EXPECT_TRUE(says(plain, "1. ")) << plain.output;
  EXPECT_TRUE(says(plain, "notes/images.txt, bytes 0 to ")) << plain.output;
  EXPECT_TRUE(says(plain, ", similarity ")) << plain.output;
}

TEST_F(Rag, WhatDidNotChangeIsNotEmbeddedAgain) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  const ProgramResult again = index(path("notes") + " " + path("notes/deep"));
  EXPECT_TRUE(says(again, "4 documents: 0 new, 0 changed, 0 completed, 4 unchanged")) << again.output;
  EXPECT_TRUE(says(again, "0 passages and 0 tokens embedded")) << again.output;
  write("notes/images.txt", "Something else.");
  const ProgramResult changed = run("index " + path("notes") + " --store " + path("my.db"));  // the model is remembered
  EXPECT_TRUE(says(changed, "4 documents: 0 new, 1 changed, 0 completed, 3 unchanged")) << changed.output;
  EXPECT_TRUE(says(changed, "1 passages and ")) << changed.output;
}

TEST_F(Rag, SearchesAmongTheDocumentsThatAFilterNames) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  for (const std::string mode : {"hybrid", "dense", "bm25"}) {
    const graft::Json hits =
        search("'files and pictures' --mode " + mode + " --where 'section = \"web\" and year < 2000'");
    ASSERT_EQ(hits.size(), 1u) << mode;
    EXPECT_EQ(hits[0]["uri"], "wget") << mode;
  }
  EXPECT_EQ(search("pictures --where 'year > 2000'").size(), 0u);
  const ProgramResult nothing = run("search pictures --where 'year > 2000' --store " + path("my.db"));
  EXPECT_EQ(nothing.output, "nothing was found\n");
}

TEST_F(Rag, FindsTheModelOfAStoreByItsFingerprint) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  std::filesystem::rename(directory_ / "my.db", directory_ / "other.db");
  const std::string command = "search pictures --store " + path("other.db");
  EXPECT_EQ(run(command).exit_code, 0) << "a store that was moved";
  std::filesystem::remove_all(directory_ / "data");
  const ProgramResult unknown = run(command);
  EXPECT_TRUE(says(unknown, "no model is known for the store")) << unknown.output;
  EXPECT_EQ(run(command + " --model " + model).exit_code, 0);
  EXPECT_EQ(run(command).exit_code, 0) << "--model is remembered";
  for (const auto& note : std::filesystem::directory_iterator(directory_ / "data/graft/models"))
    graft::write_file(note.path(), path("nowhere"));
  const ProgramResult gone = run(command);
  EXPECT_TRUE(says(gone, "nowhere\", which is gone; name its directory with --model")) << gone.output;
  write("data/graft/file", "");
  std::filesystem::remove_all(directory_ / "data/graft/models");
  std::filesystem::rename(directory_ / "data/graft/file", directory_ / "data/graft/models");
  const ProgramResult deaf = run(command + " --model " + model);
  EXPECT_EQ(deaf.exit_code, 0) << deaf.output;
  EXPECT_TRUE(says(deaf, "cannot remember where the model is")) << deaf.output;
}

TEST_F(Rag, CopiesAStoreAndBothGiveTheSameHits) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  const std::string copy = program + " copy --from " + path("my.db") + " --to ";
  const ProgramResult copied = run_program(copy + path("second.db"));
  EXPECT_EQ(copied.exit_code, 0) << copied.output;
  EXPECT_TRUE(says(copied, "4 documents, 5 passages and 5 vectors copied to ")) << copied.output;
  const auto hits = [&](const std::string& store, const std::string& arguments) {
    const ProgramResult result = run("search --json --store '" + store + "' 'edits pictures' " + arguments);
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result.exit_code == 0 ? graft::parse_json(result.output, "search")["hits"] : graft::Json();
  };
  const graft::Json expected = hits(path("my.db"), "");
  ASSERT_EQ(expected.size(), 5u);
  EXPECT_EQ(hits(path("second.db"), ""), expected);
  const ProgramResult same = run_program(copy + path("notes/../my.db"));
  EXPECT_TRUE(says(same, "are the same store; name two")) << same.output;
  const ProgramResult nowhere =
      run_program(program + " copy --from " + path("nowhere.db") + " --to " + path("third.db"));
  EXPECT_TRUE(says(nowhere, "there is no store")) << nowhere.output;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "third.db"));

#ifdef RAG_WITH_POSTGRES
  const std::string server = graft::test::PostgresServer::instance().address();
  const std::string secret = graft::test::PostgresServer::kEscapedPassword;
  const ProgramResult empty = run("search pictures --store '" + server + "'");
  EXPECT_TRUE(says(empty, "holds no store")) << empty.output;
  const ProgramResult moved = run_program(copy + "'" + server + "'");
  EXPECT_EQ(moved.exit_code, 0) << moved.output;
  EXPECT_TRUE(says(moved, "4 documents, 5 passages and 5 vectors copied to postgresql://127.0.0.1:")) << moved.output;
  EXPECT_FALSE(says(moved, secret)) << moved.output;
  for (const std::string mode : {"hybrid", "dense", "bm25"}) {
    const graft::Json here = hits(path("my.db"), "--mode " + mode), there = hits(server, "--mode " + mode);
    ASSERT_EQ(there.size(), here.size()) << mode;
    for (std::size_t i = 0; i < here.size(); ++i) {
      EXPECT_EQ(there[i]["uri"], here[i]["uri"]) << mode;
      EXPECT_EQ(there[i]["text"], here[i]["text"]) << mode;
      EXPECT_NEAR(there[i]["score"].get<double>(), here[i]["score"].get<double>(), 1e-6) << mode;
    }
  }
  const ProgramResult again = run("index --store '" + server + "' " + path("notes"));
  EXPECT_TRUE(says(again, "4 documents: 0 new, 0 changed, 0 completed, 4 unchanged")) << again.output;
  const ProgramResult back = run_program(program + " copy --from '" + server + "' --to " + path("back.db"));
  EXPECT_EQ(back.exit_code, 0) << back.output;
  EXPECT_EQ(hits(path("back.db"), ""), expected);
#else
  const ProgramResult without = run_program(copy + "postgresql://nobody@127.0.0.1/none");
  EXPECT_TRUE(says(without, "built without PostgreSQL; install libpq")) << without.output;
#endif
}

TEST_F(Rag, AnInterruptedCopyLeavesItsTargetAsItWas) {
  {
    graft::SqliteStore store(directory_ / "big.db");
    const auto writer = store.write();
    const std::string text(20'000, 'x');
    for (int i = 0; i < 4000; ++i)
      writer->put({.uri = std::to_string(i), .text = text}, std::vector<graft::PassageRange>{{0, text.size()}});
    writer->commit();
  }
  // The interrupt comes once the first line of progress is there.
  const ProgramResult stopped =
      run_program(program + " copy --from " + path("big.db") + " --to " + path("target.db") + " > " + path("out") +
                  " 2>&1 & child=$!; while kill -0 $child 2>/dev/null && ! grep -q documents/s " + path("out") +
                  "; do sleep 0.01; done; kill -INT $child; wait $child");
  EXPECT_EQ(stopped.exit_code, 130) << stopped.output;
  const std::string said = graft::read_file(path("out"), 1 << 20);
  EXPECT_NE(said.find("target.db is as it was"), std::string::npos) << said;
  graft::SqliteStore(directory_ / "target.db").check();
  EXPECT_EQ(graft::SqliteStore(directory_ / "target.db").read()->size().documents, 0u);
  EXPECT_EQ(graft::SqliteStore(directory_ / "big.db").read()->size().documents, 4000u);
}

TEST_F(Rag, ADirectoryWithLinksInALoopEnds) {
  std::filesystem::create_directory_symlink(directory_ / "notes", directory_ / "notes/deep/up");
  std::filesystem::create_symlink(directory_ / "notes/images.txt", directory_ / "notes/again.txt");
  std::filesystem::create_symlink("self.txt", directory_ / "notes/self.txt");
  std::filesystem::create_symlink("nowhere.txt", directory_ / "notes/broken.txt");
  write("notes/.hidden/secret.txt", "not read");
  write("notes/picture.png", "not read either");
  const ProgramResult result = index(path("notes"));
  EXPECT_EQ(result.exit_code, 1) << "the two links to nothing were refused";
  EXPECT_TRUE(says(result, "notes/self.txt: Too many levels of symbolic links")) << result.output;
  EXPECT_TRUE(says(result, "notes/broken.txt: No such file or directory")) << result.output;
  EXPECT_TRUE(says(result, "4 new, 0 changed, 0 completed, 0 unchanged, 2 refused")) << result.output;
  EXPECT_TRUE(says(result, "1 files of other kinds were passed over")) << result.output;
  EXPECT_EQ(size().documents, 4u);
}

TEST_F(Rag, RefusesBadDocumentsByNameAndTakesTheOthers) {
  write("notes/latin.txt", "caf\xE9");
  write("notes/nul.txt", std::string("a\0b", 3));
  write("notes/bad.jsonl",
        "{\"id\": \"x\"}\n{\"text\": 3}\nno json\n{\"id\": [1], \"text\": \"t\"}\n{\"id\": \"\", \"text\": \"t\"}\n"
        "{\"id\": \"m\", \"text\": \"t\", \"metadata\": {\"uri\": \"fake\"}}\n"
        "{\"id\": \"good'); DROP TABLE documents; --\", \"text\": \"pictures of quality\"}\n");
  // A sparse file: long to its reader, empty on the disk.
  { std::ofstream(directory_ / "notes/long.txt"); }
  std::filesystem::resize_file(directory_ / "notes/long.txt", 200'000'000);
  const ProgramResult result = index(path("notes"));
  EXPECT_EQ(result.exit_code, 1);
  for (const std::string part :
       {"latin.txt", "nul.txt", "long.txt", "bad.jsonl, line 1", "bad.jsonl, line 2", "bad.jsonl, line 3",
        "bad.jsonl, line 4", "200000000 bytes", "not UTF-8", "5 new, 0 changed, 0 completed, 0 unchanged, 9 refused"})
    EXPECT_TRUE(says(result, part)) << part << "\n" << result.output;
  EXPECT_EQ(size().documents, 5u);
  EXPECT_EQ(search("'pictures of quality' --mode bm25 --top 1")[0]["uri"], "good'); DROP TABLE documents; --");
}

TEST_F(Rag, AnInterruptedIndexGoesOn) {
  std::ofstream rows(directory_ / "many.jsonl");
  for (int i = 0; i < 1500; ++i)
    rows << graft::Json({{"id", std::to_string(i)}, {"text", "Text number " + std::to_string(i) + " about nothing."}})
                .dump()
         << "\n";
  rows.close();
  const std::string command =
      program + " index --threads 1 --store " + path("my.db") + " --model " + model + " " + path("many.jsonl");
  // The interrupt comes once the first lines of progress are there: something is in the store by then.
  const ProgramResult stopped =
      run_program(command + " > " + path("out") + " 2>&1 & child=$!; while kill -0 $child 2>/dev/null && ! grep -q " +
                  "documents/s " + path("out") + "; do sleep 0.02; done; kill -INT $child; wait $child");
  EXPECT_EQ(stopped.exit_code, 130) << stopped.output;
  const std::string said = graft::read_file(path("out"), 1 << 20);
  EXPECT_NE(said.find("the same command goes on from there"), std::string::npos) << said;
  const std::size_t before = size().documents;
  EXPECT_GT(before, 0u);
  EXPECT_LT(before, 1500u);
  const ProgramResult rest = run_program(command);
  EXPECT_EQ(rest.exit_code, 0) << rest.output;
  EXPECT_TRUE(says(rest, "1500 documents: " + std::to_string(1500 - before) + " new, 0 changed, 0 completed, " +
                             std::to_string(before) + " unchanged"))
      << rest.output;
}

TEST_F(Rag, MeasuresHowWellItSearches) {
  ASSERT_EQ(index(path("notes/rows.jsonl")).exit_code, 0);
  write("queries.jsonl",
        "{\"id\": \"q1\", \"text\": \"fetches files\"}\n{\"_id\": \"q2\", \"text\": \"draws pictures\"}\n"
        "{\"id\": 3, \"text\": \"nobody judged this\"}\n");
  write("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\twget\t1\nq2\t0\tgimp\t2\nq2\twget\t0\n");
  const std::string command =
      "eval --store " + path("my.db") + " --queries " + path("queries.jsonl") + " --relevant " + path("qrels.tsv");
  const ProgramResult result = run(command + " --json");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const graft::Json rows = graft::parse_json(result.output, "eval");
  ASSERT_EQ(rows.size(), 3u);
  for (const graft::Json& row : rows) {
    EXPECT_EQ(row["queries"], 2) << row;
    EXPECT_EQ(row["unjudged"], 1) << row;
    EXPECT_EQ(row["ndcg"], 1.0) << row;
  }
  const ProgramResult table = run(command + " --mode bm25,hybrid");
  EXPECT_TRUE(says(table, "2 queries")) << table.output;
  EXPECT_TRUE(says(table, "hybrid against bm25: nDCG +0.0000")) << table.output;
}

#ifdef RAG_WITH_HTTP
/// A server of chat completions that answers with this text each time.
std::vector<graft::test::ScriptedServer::Answer> answers_with(const std::string& text) {
  return {graft::test::response(
      "200 OK", "text/event-stream",
      "data: " + graft::Json({{"choices", {{{"delta", {{"content", text}}}, {"finish_reason", "stop"}}}}}).dump() +
          "\n\ndata: [DONE]\n\n")};
}

TEST_F(Rag, AnswersFromItsSources) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  graft::test::ScriptedServer server(answers_with("Use convert [1]\x1b[31m, not gimp [77]."));
  const std::string ask = "ask 'how do I resize a picture?' --store " + path("my.db") + " --server " + server.url();
  const ProgramResult plain = run(ask);
  EXPECT_EQ(plain.exit_code, 0) << plain.output;
  EXPECT_TRUE(says(plain, "Use convert [1][31m, not gimp.\n\nSources\n[1] ")) << plain.output;
  EXPECT_TRUE(says(plain, "/notes/images.txt, bytes 0 to 87\n")) << plain.output;
  EXPECT_TRUE(says(plain, "taken out, since they name no source: [77]")) << plain.output;

  const ProgramResult result = run(ask + " --json --top 2 --where 'not section = \"graphics\"'");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const graft::Json json = graft::parse_json(result.output, "answer");
  EXPECT_EQ(json["found"], true);
  EXPECT_EQ(json["cited"].size(), 1u);
  EXPECT_EQ(json["cited"][0]["begin"], 0);
  EXPECT_EQ(json["citations"][0]["number"], 1);
  EXPECT_EQ(json["not_sources"], graft::Json({"[77]"}));
  EXPECT_EQ(json["hits"].size(), 2u);
  EXPECT_GE(json["seconds"]["generate"], 0.0);
  const std::string request = server.requests().back();
  const graft::Json sent = graft::parse_json(request.substr(request.find("\r\n\r\n") + 4), "request");
  EXPECT_EQ(sent["messages"][1]["content"], json["prompt"][1]["content"]);
  EXPECT_NE(json["prompt"][1]["content"].get<std::string>().find("ImageMagick's convert changes the size"),
            std::string::npos);

  const std::size_t asked = server.requests().size();
  const ProgramResult nothing =
      run("ask 'who won the football match on sunday?' --store " + path("my.db") + " --server " + server.url());
  EXPECT_EQ(nothing.exit_code, 0);
  EXPECT_EQ(nothing.output, "I found nothing about this in the documents.\n");
  EXPECT_EQ(server.requests().size(), asked) << "nobody was asked";
}

TEST_F(Rag, SummarisesAllDocuments) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  graft::test::ScriptedServer server(answers_with("Tools for pictures [4] and the web [1], [9]."));
  const std::string summarise = program + " summarise --store " + path("my.db") + " --server " + server.url();
  const ProgramResult result = run_program(summarise + " --json --where 'section exists'");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_NE(result.output.find("\"documents\": 2"), std::string::npos) << result.output;
  EXPECT_EQ(server.requests().size(), 1u);
  EXPECT_NE(server.requests()[0].find("Fetches files over HTTP and FTP."), std::string::npos);
  EXPECT_EQ(server.requests()[0].find("ImageMagick"), std::string::npos);
  const ProgramResult plain = run_program(summarise);
  EXPECT_TRUE(says(plain, "Tools for pictures [4] and the web [1],.\n\nSources, of 4 documents read\n[4] "))
      << plain.output;
}

TEST_F(Rag, AsksARealLanguageModel) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  const std::string server =
      " --server " + graft::test::LlamaServer::instance().url() + " --context 2048 --answer-tokens 64";
  ProgramResult result;
  for (int i = 0; i < 600; ++i) {  // the server loads its model
    result = run("ask 'how do I change the size of a picture?' --json --store " + path("my.db") + server);
    if (!says(result, "cannot be reached")) break;
  }
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const graft::Json json = graft::parse_json(result.output, "answer");
  EXPECT_EQ(json["found"], true);
  EXPECT_FALSE(json["answer"].get<std::string>().empty());
  EXPECT_GT(json["prompt_tokens"], 100);
  EXPECT_LE(json["tokens"], 64);
  const ProgramResult here = run("ask 'how do I change the size of a picture?' --json --answer-tokens 64 --store " +
                                 path("my.db") + " --generator " GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  ASSERT_EQ(here.exit_code, 0) << here.output;
  const graft::Json local = graft::parse_json(here.output, "answer");
  EXPECT_EQ(local["sources"], json["sources"]);
  EXPECT_FALSE(local["answer"].get<std::string>().empty());
  EXPECT_EQ(local["prompt_tokens"], json["prompt_tokens"]) << "llama.cpp's template and graft's are the same";
  const ProgramResult summary = run_program(program + " summarise --json --store " + path("my.db") + server);
  ASSERT_EQ(summary.exit_code, 0) << summary.output;
  EXPECT_TRUE(says(summary, "\"calls\": 1")) << summary.output;
}

TEST_F(Rag, WhatIsWrongWithAQuestionOrServerIsNamed) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  { graft::SqliteStore(directory_ / "empty.db"); }
  graft::test::ScriptedServer good(answers_with("x"));
  graft::test::ScriptedServer garbage({graft::test::bytes("\x01garbage\n")});
  graft::test::ScriptedServer half(
      {graft::test::bytes("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"choices\": [{\"delta\": "
                          "{\"content\": \"Us\"}}]}\n\n")});
  write("long", std::string(1 << 20, 'x'));
  const std::string store = " --store " + path("my.db"), server = " --server " + good.url();
  const struct {
    std::string arguments, says;
  } rows[] = {
      {"ask" + store + server, "question is required"},
      {"ask 'how?'" + store, "no language model is named; give a file with --generator"},
      {"ask 'how?' --store " + path("empty.db") + server, "has no document; bring some in with: rag index"},
      {"ask 'how?' --store " + path("nowhere.db") + server, "there is no store"},
      {"ask ' '" + store + server, "the question is empty"},
      {"ask \"$(printf 'caf\\351')\"" + store + server, "the question is not UTF-8 at byte 3"},
      {"ask \"$(head -c 100000 " + path("long") + ")\"" + store + server, "the question has 100000 bytes"},
      {"ask \"$(head -c 40000 " + path("long") + ")\"" + store + server,
       "tokens, but the prompt has room for 3584; ask shorter"},
      {"ask 'how?' --context 500" + store + server, "an answer of 512 tokens leaves no room for a prompt"},
      {"ask 'how?' --where '='" + store + server, "OptionError"},
      {"ask 'resize a picture' --server ftp://x" + store, "is neither http:// nor https://"},
      {"ask 'resize a picture' --server http://127.0.0.1:1" + store, "cannot be reached; is the server running?"},
      {"ask 'resize a picture' --server " + garbage.url() + store, "in another protocol than HTTP"},
      {"ask 'resize a picture' --server " + half.url() + store, "ended its answer half way, after 2 bytes of text"},
      {"ask 'resize a picture' --key-variable GRAFT_NO_KEY" + store + server, "\"GRAFT_NO_KEY\" holds no key"},
      {"summarise" + store + server + " --where 'year > 3000'", "no document fits --where"},
      {"summarise --store " + path("empty.db") + server, "has no document"},
  };
  for (const auto& row : rows) {
    const ProgramResult result = run_program(program + " " + row.arguments);
    EXPECT_NE(result.exit_code, 0) << row.arguments.substr(0, 200);
    EXPECT_TRUE(says(result, row.says)) << row.arguments.substr(0, 200) << "\n" << result.output.substr(0, 1000);
    EXPECT_FALSE(says(result, "terminate called")) << row.arguments.substr(0, 200);
  }
}
#endif

TEST_F(Rag, BadArgumentsAreNamed) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  write("empty.jsonl", "");
  write("qrels.tsv", "q\td\tmuch\nq\td\tmuch\n");
  write("queries.jsonl", "{\"id\": \"q\", \"text\": \"t\"}\n");
  write("other.tsv", "x\td\t1\n");
  std::filesystem::copy(model, directory_ / "other", std::filesystem::copy_options::recursive);
  write("other/config_sentence_transformers.json", "{\"prompts\": {\"document\": \"text: \"}}");
  const std::string store = " --store " + path("my.db");
  const std::string eval = "eval" + store + " --queries " + path("queries.jsonl");
  const struct {
    std::string arguments, says;
  } rows[] = {
      {"", "A subcommand is required"},
      {"index --store x", "documents is required"},
      {"index " + path("notes") + " --store " + path("new.db"), "no model is known for the store"},
      {"index " + path("nowhere") + store, "there is no document to index"},
      {"index " + path("notes") + store + " --model " + path("notes"), "modules.json: there is no such file"},
      {"index " + path("notes") + store + " --size 300", "--size is 300, but this model reads 254 tokens"},
      {"index " + path("notes") + store + " --size 10 --overlap 9", "an overlap of 9 is more than half of size 10"},
      {"search pictures --store " + path("nowhere.db"), "there is no store"},
      {"search pictures --store " + path("notes/images.txt"), "FormatError"},
      {"search '' " + store, "the question is empty"},
      {"copy --from x", "--to is required"},
      {"search pictures" + store + " --where 'section = '", "OptionError"},
      {"search pictures" + store + " --where '1; DROP TABLE documents'", "OptionError"},
      {"search pictures" + store + " --mode sparse", "sparse"},
      {"search pictures" + store + " --top 0", "--top"},
      {"search pictures" + store + " --model " + path("other"), "has no vectors"},
      {eval + " --relevant " + path("qrels.tsv"), "qrels.tsv, line 2: is \"q\\x09d\\x09much\""},
      {eval + " --relevant " + path("other.tsv"), "do their names match?"},
      {"eval" + store + " --queries " + path("empty.jsonl") + " --relevant " + path("other.tsv"), "has no query"},
  };
  for (const auto& row : rows) {
    const ProgramResult result = run(row.arguments);
    EXPECT_NE(result.exit_code, 0) << row.arguments;
    EXPECT_TRUE(says(result, row.says)) << row.arguments << "\n" << result.output;
    EXPECT_FALSE(says(result, "terminate called")) << row.arguments;
  }
}

}  // namespace
