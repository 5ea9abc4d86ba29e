#include "rag_program.hpp"

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "retrieval/postgres/server.hpp"
#include "support/error_message.hpp"

namespace {

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
  const std::string other = server + "?connect_timeout=10&schema=second";
  const ProgramResult nothing = run("search pictures --store '" + other + "'");
  EXPECT_TRUE(says(nothing, "holds no store")) << nothing.output;
  const ProgramResult beside = run_program(copy + "'" + other + "'");
  EXPECT_TRUE(says(beside, "4 documents, 5 passages and 5 vectors copied to ")) << beside.output;
  EXPECT_TRUE(says(beside, "schema \"second\"")) << beside.output;
  EXPECT_EQ(hits(other, "").size(), expected.size());
  const ProgramResult nameless = run("search pictures --store '" + server + "?schema='");
  EXPECT_TRUE(says(nameless, "schema is \"\"; choose a name")) << nameless.output;
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

}  // namespace
