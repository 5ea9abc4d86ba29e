#ifdef RAG_WITH_HTTP

#include <cmath>

#include "rag/http/servers.hpp"

#include <nlohmann/json.hpp>

#include "graft/io/adapter_dir.hpp"
#include "graft/retrieval/pairs.hpp"
#include "rag_program.hpp"

namespace {

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
  const ProgramResult result =
      run("ask 'how do I change the size of a picture?' --json --store " + path("my.db") + server);
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

TEST_F(Rag, AsksWithAnAdapter) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  const std::string file = GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    question = "'how do I resize a picture?'";
  std::vector<float> numbers(4 * 576);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = 0.3F * static_cast<float>(std::sin(1.7 * static_cast<double>(i)));
  std::vector<graft::TensorBytes> tensors;
  for (int layer = 0; layer < 30; ++layer) {
    const std::string name = graft::message("model.layers.", layer, ".self_attn.o_proj.lora_");
    const auto bytes = std::as_bytes(std::span(numbers));
    tensors.push_back({name + "A.weight", graft::ElementType::F32, {4, 576}, bytes});
    tensors.push_back({name + "B.weight", graft::ElementType::F32, {576, 4}, bytes});
  }
  graft::write_adapter_dir(directory_ / "adapter", {.r = 4, .target_modules = {{"o_proj"}, ""}}, tensors);
  const std::string store = " --store " + path("my.db") + " --answer-tokens 24 --json --generator " + file;
  const std::string adapter = " --adapter " + path("adapter");
  const ProgramResult plain = run("ask " + question + store), adapted = run("ask " + question + store + adapter);
  ASSERT_EQ(plain.exit_code, 0) << plain.output;
  ASSERT_EQ(adapted.exit_code, 0) << adapted.output;
  const graft::Json one = graft::parse_json(plain.output, "plain"), two = graft::parse_json(adapted.output, "adapted");
  EXPECT_EQ(one["prompt"], two["prompt"]);
  EXPECT_NE(one["answer"], two["answer"]);
  const ProgramResult summary = run_program(program + " summarise" + store + adapter);
  EXPECT_EQ(summary.exit_code, 0) << summary.output;
  const ProgramResult missing = run("ask " + question + store + " --adapter " + path("nowhere"));
  EXPECT_NE(missing.exit_code, 0);
  EXPECT_TRUE(says(missing, "nowhere")) << missing.output;
  const ProgramResult alone = run("ask " + question + " --store " + path("my.db") + adapter);
  EXPECT_NE(alone.exit_code, 0);
  EXPECT_TRUE(says(alone, "--adapter requires --generator")) << alone.output;
}

TEST_F(Rag, WritesQuestionsThatFindTheirPassages) {
  ASSERT_EQ(index(path("notes")).exit_code, 0);
  graft::test::ScriptedServer server(answers_with("Question: Which of them edits pictures by hand?"));
  const std::string questions = "questions --store " + path("my.db") + " --server " + server.url() + " --out ";
  const ProgramResult result = run(questions + path("made.jsonl") + " --found-within 1 --json 2>/dev/null");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const graft::Json report = graft::parse_json(result.output, "report");
  EXPECT_EQ(report["kept"], 1);
  EXPECT_EQ(report["passages"].get<int>(), report["kept"].get<int>() + report["not_found"].get<int>() +
                                               report["repeated"].get<int>() + report["copied"].get<int>() +
                                               report["empty"].get<int>());
  const graft::PairsFile pairs = graft::read_pairs(directory_ / "made.jsonl");
  ASSERT_EQ(pairs.rows.size(), 1u);
  EXPECT_EQ(pairs.rows[0].question, "Which of them edits pictures by hand?");
  EXPECT_EQ(pairs.rows[0].positives[0], "Draws and edits pictures by hand.");
  const ProgramResult kept = run(questions + path("made.jsonl"));
  EXPECT_NE(kept.exit_code, 0);
  EXPECT_TRUE(says(kept, "is there already; name another file")) << kept.output;
  graft::test::ScriptedServer other(answers_with("Xylophones, nebulae?"));
  const ProgramResult none = run("questions --mode bm25 --store " + path("my.db") + " --server " + other.url() +
                                 " --out " + path("none.jsonl"));
  EXPECT_NE(none.exit_code, 0);
  EXPECT_TRUE(says(none, "no question finds its passage again; try a larger language model")) << none.output;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "none.jsonl"));
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
      {"ask 'how?' --where '='" + store + server, "the name of a field is expected"},
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

}  // namespace

#endif  // RAG_WITH_HTTP
