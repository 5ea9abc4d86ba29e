#include <fstream>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/output.hpp"
#include "rag_program.hpp"

namespace {

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

TEST_F(Rag, NewMetadataAreOneDocumentChangedAndNothingEmbedded) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  write(
      "notes/rows.jsonl",
      R"({"id": "wget", "text": "Fetches files over HTTP and FTP.", "metadata": {"section": "net"}, "year": 1996})"
      "\n"
      R"({"id": "gimp", "text": "Draws and edits pictures by hand.", "metadata": {"section": "graphics"}, "year": 1998})"
      "\n");
  const ProgramResult result = index(path("notes"));
  EXPECT_TRUE(says(result, "4 documents: 0 new, 1 changed, 0 completed, 3 unchanged")) << result.output;
  EXPECT_TRUE(says(result, "0 passages and 0 tokens embedded")) << result.output;
  EXPECT_EQ(search("files --where 'section = \"web\"'").size(), 0u);
  EXPECT_EQ(search("files --where 'section = \"net\"'").size(), 1u);
}

TEST_F(Rag, NamesWhatIsNoLongerThereAndPrunesItWhenTold) {
  write("notes/old.txt", "The windmill was painted.");
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  std::filesystem::remove(directory_ / "notes/images.txt");
  std::filesystem::create_directories(directory_ / "notes/archive");
  std::filesystem::rename(directory_ / "notes/old.txt", directory_ / "notes/archive/old.txt");
  write("notes/rows.jsonl", "{\"id\": \"wget\", \"text\": \"Fetches files over HTTP and FTP.\"}\n");
  const ProgramResult named = index(path("notes"));
  EXPECT_EQ(named.exit_code, 0) << named.output;
  for (const std::string& part :
       {"no longer there: " + path("notes/images.txt"), "no longer there: " + path("notes/old.txt"),
        "no longer there: gimp, of " + path("notes/rows.jsonl"),
        std::string("3 documents of the store are no longer there; --prune removes them")})
    EXPECT_TRUE(says(named, part)) << part << "\n" << named.output;
  EXPECT_EQ(search("windmill --mode bm25").size(), 2u) << "nothing is removed unasked";
  // Another directory has nothing to do with it.
  write("other/new.txt", "A new one.");
  EXPECT_FALSE(says(index(path("other") + " --prune"), "no longer there"));
  const ProgramResult pruned = index(path("notes") + " --prune");
  EXPECT_TRUE(says(pruned, "3 documents that are no longer there were removed from the store")) << pruned.output;
  EXPECT_EQ(search("windmill --mode bm25").size(), 1u);
  EXPECT_EQ(search("photographs --mode bm25").size(), 0u);
  EXPECT_EQ(size().documents, 4u);
  EXPECT_FALSE(says(index(path("notes")), "no longer there"));
}

TEST_F(Rag, WhatCannotBeReadIsNotGone) {
  write("notes/bad.jsonl", "{\"id\": \"kept\", \"text\": \"A row.\"}\n");
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  write("notes/bad.jsonl", "no json any more\n");
  write("notes/images.txt", "caf\xE9");
  const ProgramResult result = index(path("notes") + " --prune");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_FALSE(says(result, "no longer there")) << result.output;
  EXPECT_EQ(size().documents, 5u);
  std::filesystem::remove_all(directory_ / "notes");
  std::filesystem::create_directory(directory_ / "notes");
  const ProgramResult empty = index(path("notes") + " --prune");
  EXPECT_NE(empty.exit_code, 0);
  EXPECT_TRUE(says(empty, "there is no document to index")) << empty.output;
  EXPECT_EQ(size().documents, 5u) << "a disk that is not mounted is an empty directory";
}

TEST_F(Rag, RemovesDocumentsByNameFileOrDirectory) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  const auto remove = [&](const std::string& names) {
    return run_program(program + " remove --store " + path("my.db") + " " + names);
  };
  const ProgramResult unknown = remove("gimp nobody");
  EXPECT_NE(unknown.exit_code, 0);
  EXPECT_TRUE(says(unknown, "there is no document \"nobody\"")) << unknown.output;
  EXPECT_EQ(size().documents, 4u);
  EXPECT_NE(remove("''").exit_code, 0);
  EXPECT_EQ(remove("gimp").output, "1 documents removed\n");
  EXPECT_EQ(search("pictures --mode bm25 --where 'year = 1998'").size(), 0u);
  EXPECT_EQ(remove(path("notes/rows.jsonl")).output, "1 documents removed\n");
  std::filesystem::remove_all(directory_ / "notes/deep");
  EXPECT_EQ(remove(path("notes/deep/")).output, "1 documents removed\n") << "the directory is not there any more";
  EXPECT_EQ(remove(path("notes")).output, "1 documents removed\n");
  EXPECT_EQ(size().documents, 0u);
}

TEST_F(Rag, RowsOfOneNameAreRefusedWithBothPlacesNamed) {
  write("rows/a.jsonl", "{\"id\": 1, \"text\": \"The heron.\"}\n{\"id\": 2, \"text\": \"The otter.\"}\n");
  write("rows/b.jsonl", "{\"id\": 1, \"text\": \"The turbine.\"}\n{\"id\": 3, \"text\": \"The valve.\"}\n");
  for (const std::string counts : {"4 documents: 3 new, 0 changed, 0 completed, 0 unchanged, 1 refused",
                                   "4 documents: 0 new, 0 changed, 0 completed, 3 unchanged, 1 refused"}) {
    const ProgramResult result = index(path("rows"));
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_TRUE(says(result, counts)) << result.output;
    EXPECT_TRUE(says(result, "b.jsonl, line 1: document \"1\" of ")) << result.output;
    EXPECT_TRUE(says(result, "was already given by \"" + path("rows/a.jsonl"))) << result.output;
  }
  write("later/c.jsonl", "{\"id\": 3, \"text\": \"The pump.\"}\n");
  const ProgramResult later = index(path("later"));
  EXPECT_EQ(later.exit_code, 1);
  EXPECT_TRUE(says(later, "is already there from \"" + path("rows/b.jsonl"))) << later.output;
  std::filesystem::rename(directory_ / "rows/b.jsonl", directory_ / "rows/moved.jsonl");
  const ProgramResult moved = index(path("rows"));
  EXPECT_TRUE(says(moved, "4 documents: 0 new, 1 changed, 0 completed, 2 unchanged, 1 refused")) << moved.output;
  EXPECT_TRUE(says(moved, "0 passages and 0 tokens embedded")) << moved.output;
  EXPECT_FALSE(says(moved, "no longer there")) << moved.output;
}

TEST_F(Rag, TheDefaultOverlapFollowsTheSize) {
  write("notes/long.txt",
        "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen.");
  for (const std::string options : {"--size 30", "--size 5", "--size 1 --overlap 0"}) {
    const ProgramResult result = index(path("notes") + " " + options);
    EXPECT_EQ(result.exit_code, 0) << options << "\n" << result.output;
  }
}

TEST_F(Rag, ADocumentOfManyPassagesLeavesRoomForOthers) {
  std::string big;
  for (int i = 0; i < 400; ++i) big += "apple apple apple apple apple apple apple.\n\n";
  write("fruit/big.txt", big);
  for (int i = 0; i < 4; ++i)
    write("fruit/small" + std::to_string(i) + ".txt", "One apple among much else that is no fruit.");
  ASSERT_EQ(index(path("fruit") + " --size 16 --overlap 0").exit_code, 0);
  for (const std::string mode : {"bm25", "dense", "hybrid"})
    EXPECT_EQ(search("apple --mode " + mode + " --per-document 1 --top 5").size(), 5u) << mode;
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
      {"search pictures --store " + path("notes/images.txt"), "is not an SQLite file"},
      {"search '' " + store, "question: must not be empty"},
      {"search ' ' " + store, "the question is empty"},
      {"copy --from x", "--to is required"},
      {"search pictures" + store + " --where 'section = '", "byte 11: a value is missing"},
      {"search pictures" + store + " --where '1; DROP TABLE documents'",
       "byte 2: one of = != < <= > >= in exists is expected"},
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
