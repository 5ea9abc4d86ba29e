// What servers that call themselves compatible really send. Each row names where it was reported.

#include <gtest/gtest.h>

#include <httplib.h>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/utf8.hpp"
#include "graft/rag/detail/server_wait.hpp"
#include "graft/rag/openai_generator.hpp"
#include "rag/http/servers.hpp"
#include "support/error_message.hpp"

namespace graft::test {
namespace {

using std::chrono::milliseconds;

const std::string kStream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const std::string kDone = "data: [DONE]\n\n";

std::string data(const std::string& json) { return "data: " + json + "\n\n"; }
std::string delta(const std::string& members) {
  return data(R"({"choices": [{"index": 0, "delta": {)" + members + R"(}, "finish_reason": null}]})");
}
std::string text(const std::string& text) { return delta("\"content\": " + Json(text).dump()); }
std::string finish(const std::string& reason) {
  return data(R"({"choices": [{"index": 0, "delta": {}, "finish_reason": ")" + reason + "\"}]}");
}
const std::string kHello = kStream + text("Hel") + text("lo") + finish("stop") + kDone;

const std::vector<ChatMessage> kMessages = {{ChatRole::user, {{"Say hello."}}}};

OpenAiOptions options_for(const std::string& url) {
  OpenAiOptions options;
  options.url = url;
  options.model = "small";
  options.patience.silence = milliseconds(20'000);
  options.patience.wait = [](milliseconds) {};
  return options;
}

Json body_of(const std::string& request) {
  return parse_json(std::string_view(request).substr(request.find("\r\n\r\n") + 4), "request");
}

struct Answered {
  const char* what;
  std::string response;
  std::string text = "Hello";
  CompletionEnd reason = CompletionEnd::end;
};

TEST(Dialects, AWholeAnswerIsTakenInWhateverForm) {
  const std::string json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
  const std::string whole = R"({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]})";
  const Answered rows[] = {
      {"ollama/ollama #4357, sgl-project/sglang #3912: an empty reason until the end",
       kStream + data(R"({"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": ""}]})") +
           data(R"({"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": ""}]})") + finish("stop")},
      {"PowerShell/AIShell #350 (KoboldCpp): \"null\" for a reason",
       kStream + data(R"({"choices": [{"delta": {"content": "Hello"}, "finish_reason": "null"}]})") + finish("length"),
       "Hello", CompletionEnd::length},
      {"PowerShell/AIShell #350: no reason in a whole answer",
       json + R"({"choices": [{"message": {"content": "Hello"}}]})"},
      {"langchain-ai/langchain #18977, microsoft/autogen #6465 (Azure): filters' results first, between and last",
       kStream + data(R"({"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})") + text("Hel") +
           data(R"({"id": "", "choices": [{"index": 0, "finish_reason": null, "content_filter_results": {},)"
                R"( "content_filter_offsets": {"check_offset": 44}}], "usage": null})") +
           text("lo") + finish("stop") + data(R"({"choices": [{"index": 0, "content_filter_results": {}}]})") + kDone},
      {"Portkey-AI/gateway PR 1629, ROCm/ATOM PR 1711: chunks without choices",
       kStream + data(R"({"object": "gateway.notice", "checks": []})") + text("Hello") + finish("stop") +
           data(R"({"id": "c", "usage": {"prompt_tokens": 5, "completion_tokens": 3}})") + kDone},
      {"usage without choices, null or in another type",
       kStream + text("Hello") + finish("stop") + data(R"({"choices": null, "usage": {"prompt_tokens": -1.5}})") +
           kDone},
      {"platform.claude.com, streaming: signs of life with a name",
       kStream + "event: ping\ndata: {\"type\": \"ping\"}\n\n" + text("Hello") + "event: heartbeat\ndata: now\n\n" +
           finish("stop")},
      {"tmc/langchaingo PR 1171 (DeepSeek), openai/openai-go #227 (OpenRouter): comments",
       kStream + ": keep-alive\n\n: OPENROUTER PROCESSING\n\n:\n\n" + text("Hello") + finish("stop") + kDone},
      {"coddy-project/coddy-agent PR 106: empty data",
       kStream + "data:\n\ndata: \n\n" + text("Hello") + finish("stop")},
      {"NousResearch/hermes-agent PR 4748, meilisearch/meilisearch PR 6327 (Mistral): content in parts",
       kStream + delta(R"("content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}])") +
           delta(R"("content": [{"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "Hel"}])") +
           delta(R"("content": [{"type": "text", "text": "l"}, {"type": "text", "text": "o"}])") + finish("stop")},
      {"parts in a whole answer",
       json +
           R"({"choices": [{"message": {"content": [{"type": "text", "text": "Hello"}]}, "finish_reason": "stop"}]})"},
      {"karthink/gptel PR 592 (DeepSeek), vLLM, Ollama: what is reasoned first is no answer",
       kStream + delta(R"("role": "assistant", "content": null, "reasoning_content": "Okay")") +
           delta(R"("reasoning": "so", "content": "")") + text("Hello") + finish("stop")},
      {"refusals have a member of their own (OpenAI)",
       kStream + delta(R"("refusal": "I can", "content": null)") + delta(R"("refusal": "not.")") + finish("stop"),
       "I cannot.", CompletionEnd::refused},
      {"elizaOS/eliza #30904: the halves of a character in two chunks",
       kStream + data(R"({"choices": [{"delta": {"content": "a\ud83d", "reasoning_content": "\ud83d"}}]})") +
           data(R"({"choices": [{"delta": {"content": "\ude00b \ud83d\ude01 \\ud83d "}}]})") +
           data(R"({"choices": [{"delta": {"content": "\ude00c\ud83d"}, "finish_reason": "stop"}]})"),
       "a😀b 😁 \\ud83d \uFFFDc\uFFFD"},
      {"openai/openai-agents-js #107: no blank behind the colon, no [DONE]",
       kStream + "data:{\"choices\":[{\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\n"},
      {"the end without its empty line", kStream + text("Hello") + "data: [DONE]"},
      {"a last chunk without a line end",
       kStream + text("Hel") + R"(data: {"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]})"},
      {"ggml-org/llama.cpp #14268: one line end between events",
       kStream + R"(data: {"choices": [{"delta": {"content": "Hel"}}]})" + "\n" +
           R"(data: {"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]})" + "\ndata: [DONE]\n"},
      {"tinyhumansai/tinyagents PR 56: in one piece although a stream was asked for", json + whole},
      {"lemonade-sdk/lemonade #2826: called a stream", kStream + "\n" + whole},
      {"decolua/9router #3492: and the end of a stream behind it", kStream + whole + "\n\ndata: [DONE]\n\n"},
      {"tinyhumansai/tinyagents PR 56: a stream that is called something else",
       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n: hi\n\n" + text("Hello") + finish("stop")},
      {"an answer whose head has no type", "HTTP/1.1 200 OK\r\n\r\n" + text("Hello") + finish("stop")},
      {"status 201",
       "HTTP/1.1 201 Created\r\nContent-Type: Text/Event-Stream\r\n\r\n" + text("Hello") + finish("stop")},
      {"BerriAI/litellm #2195 (Gemini): each chunk has a reason",
       kStream + data(R"({"choices": [{"delta": {"content": "Hel"}, "finish_reason": "stop"}]})") +
           data(R"({"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]})")},
      {"BerriAI/litellm #2010: null for content and role at the end, huggingface/text-generation-inference PR 2344",
       kStream + text("Hello") +
           data(R"({"choices": [{"delta": {"content": null, "role": null}, "finish_reason": "eos_token"}]})")},
      {"a whole message as one event", kStream + data(whole) + kDone},
      {"delta and, so far, message (Perplexity)",
       kStream + data(R"({"choices": [{"delta": {"content": "Hel"}, "message": {"content": "Hel"}}]})") +
           data(
               R"({"choices": [{"delta": {"content": "lo"}, "message": {"content": "Hello"}, "finish_reason": "stop"}]})")},
      {"Mistral's name for the limit", kStream + text("Hello") + finish("model_length"), "Hello",
       CompletionEnd::length},
      {"Google's name for a filter", kStream + text("Hello") + finish("SAFETY"), "Hello", CompletionEnd::refused},
      {"SGLang: a reason with details",
       kStream + text("Hello") +
           data(R"({"choices": [{"delta": {}, "finish_reason": {"type": "length", "length": 3}}]})"),
       "Hello", CompletionEnd::length},
      {"no error", kStream + data(R"({"error": null, "choices": [{"delta": {"content": "Hello"}}]})") + finish("stop")},
      {"trouble after the end is not about the answer",
       kStream + text("Hello") + finish("stop") + data(R"({"error": {"message": "no usage"}})") + "data: bye\n\n"},
  };
  for (const Answered& row : rows) {
    ScriptedServer server({bytes(row.response)});
    OpenAiGenerator generator(options_for(server.url()));
    std::string streamed;
    try {
      const Completion answer = generator.generate(kMessages, {}, [&](std::string_view text) {
        EXPECT_TRUE(is_utf8(text)) << row.what;
        streamed += text;
        return true;
      });
      EXPECT_EQ(answer.text, row.text) << row.what;
      EXPECT_EQ(answer.reason, row.reason) << row.what;
      EXPECT_EQ(streamed, answer.text) << row.what;
    } catch (const Error& error) {
      ADD_FAILURE() << row.what << ": " << error.what();
    }
    EXPECT_EQ(server.requests().size(), 1u) << row.what;
  }
}

TEST(Dialects, AnAnswerIsTheSameHoweverItsBytesAreCut) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string json = R"({"choices": [{"delta": {"content": "The heron – 鷺 🙂"}}]})";
  const std::string last = R"({"choices": [{"delta": {"content": " stands."}, "finish_reason": "stop"}]})";
  const std::string two_lines = json.substr(0, 13) + "\ndata: " + json.substr(13);
  for (const std::string end : {"\n", "\r", "\r\n"})
    for (const std::string mark : {"", "\xEF\xBB\xBF"}) {
      std::string stream = mark + ": comment\nid: 7\nretry: 100\nevent: message\ndata:" + two_lines +
                           "\n\ndata: " + last + "\n\ndata: [DONE]\n\n";
      for (std::size_t at = 0; (at = stream.find('\n', at)) != std::string::npos; at += end.size())
        stream.replace(at, 1, end);
      for (const std::size_t size : {std::size_t{1}, std::size_t{7}, stream.size()}) {
        std::string response = head;
        for (std::size_t at = 0; at < stream.size(); at += size) {
          const std::string piece = stream.substr(at, size);
          char count[20];
          std::snprintf(count, sizeof count, "%zx\r\n", piece.size());
          response += count + piece + "\r\n";
        }
        for (const char* tail : {"0\r\n\r\n", ""}) {  // the second breaks off once all is there
          ScriptedServer server({bytes(response + tail)});
          OpenAiGenerator generator(options_for(server.url()));
          EXPECT_EQ(generator.generate(kMessages).text, "The heron – 鷺 🙂 stands.") << Json(end).dump() << size;
        }
      }
    }
}

TEST(Dialects, HalfAnAnswerIsNone) {
  const std::string json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
  const struct {
    const char* what;
    std::string response, says;
  } rows[] = {
      {"ollama/ollama #4357: an empty reason ends nothing",
       kStream + data(R"({"choices": [{"delta": {"content": "Hel"}, "finish_reason": ""}]})"),
       "half way, after 3 bytes"},
      {"CommandCodeAI/command-code #785: a stream that just ends", kStream + text("Hel"), "half way, after 3 bytes"},
      {"tetsuo-ai/agenc-core PR 2492: a proxy's words and a clean end",
       kStream + text("Hel") + "upstream error: read ECONNRESET\n", "half way, after 3 bytes"},
      {"text after the reason of a part", kStream + text("Hel") + finish("stop") + text("lo"),
       "half way, after 5 bytes"},
      {"BerriAI/litellm #2195 (Gemini): each chunk has a reason, and the connection breaks off",
       "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\n" +
           data(R"({"choices": [{"delta": {"content": "Hel"}, "finish_reason": "stop"}]})") +
           data(R"({"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]})"),
       "closed the connection half way"},
      {"a chunk that is cut", kStream + text("Hel") + R"(data: {"choices": [{"delta": {"content": "lo)", "half way"},
      {"vllm-project/guidellm #743: an error, then [DONE]",
       kStream + data(R"({"error": {"message": "TimeoutError", "type": "GatewayTimeout", "code": 400}})") + kDone,
       "reports \"TimeoutError\""},
      {"huggingface/huggingface_hub #2514 (TGI): an error that is text",
       kStream + data(R"({"error": "Input validation error", "error_type": "validation"})"),
       "reports \"Input validation error\""},
      {"ggml-org/llama.cpp PR 16109: a field \"error\"",
       kStream + "error: {\"code\":400,\"message\":\"the request exceeds the context\"}\n\n" + kDone,
       "reports \"the request exceeds the context\""},
      {"envoyproxy/ai-gateway #2697 (Anthropic): an event \"error\", after text",
       kStream + text("Hel") + "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"Overloaded\"}}\n\n",
       "reports \"Overloaded\" half way, after 3 bytes of text"},
      {"an event \"error\" that is no JSON", kStream + "event: error\ndata: out of memory\n\n",
       "reports \"out of memory\""},
      {"diegosouzapw/OmniRoute PR 8210 (OpenRouter): an error beside empty choices",
       kStream + data(R"({"choices": [], "error": {"message": "limit reached"}})"), "reports \"limit reached\""},
      {"genkit-ai/genkit PR 6079: an error within the choice",
       kStream + data(R"({"choices": [{"delta": {"content": ""}, "error": {"message": "gone"}}]})"),
       "reports \"gone\""},
      {"vLLM before 0.10: an error without a member of its own",
       kStream + data(R"({"object": "error", "message": "bad", "code": 40000})"), "reports \"bad\""},
      {"maximhq/bifrost #5425: an answer in one piece whose reason is \"error\"",
       json + R"({"choices": [{"message": {"content": "{\"events\": ["}, "finish_reason": "error"}]})",
       "finish_reason is \\\"error\\\""},
      {"SGLang and vLLM abort what has run for too long", kStream + text("Hel") + finish("abort"), "half way"},
      {"DeepSeek's name for the same", kStream + text("Hel") + finish("insufficient_system_resource"), "half way"},
      {"lemonade-sdk/lemonade #2826: an error without the form of a stream",
       kStream + R"({"error": {"code": 400, "message": "request exceeds the context"}})", "reports \"request exceeds"},
      {"half an answer in one piece", json + R"({"choices": [{"message": {"content": "Hello"}, "finish_rea)",
       "not valid JSON"},
      {"an error in one piece", json + R"({"error": {"message": "no such model"}})", "reports \"no such model\""},
  };
  for (const auto& row : rows) {
    ScriptedServer server({bytes(row.response)});
    OpenAiGenerator generator(options_for(server.url()));
    const std::string error = error_message([&] { generator.generate(kMessages); });
    EXPECT_NE(error.find(row.says), std::string::npos) << row.what << ": " << error;
    EXPECT_EQ(server.requests().size(), 1u) << row.what;
  }
}

TEST(Dialects, AnErrorOfABusyServerBeforeAnyTextIsAsItsStatus) {
  const struct {
    const char* what;
    std::string response;
  } rows[] = {
      {"dcdpr/jp PR 978 (OpenRouter)",
       kStream + data(R"({"choices": [], "error": {"code": 502, "message": "provider"}})") + kDone},
      {"envoyproxy/ai-gateway #2697",
       kStream + "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n"},
      {"a code that is text", kStream + data(R"({"error": {"code": "429", "message": "slow down"}})")},
      {"in one piece", kStream + R"({"error": {"code": 503, "message": "loading"}})"},
      {"status 529", "HTTP/1.1 529 Overloaded\r\nContent-Length: 0\r\n\r\n"},
  };
  for (const auto& row : rows) {
    ScriptedServer server({bytes(row.response), bytes(kHello)});
    OpenAiGenerator generator(options_for(server.url()));
    EXPECT_EQ(generator.generate(kMessages).text, "Hello") << row.what;
    EXPECT_EQ(server.requests().size(), 2u) << row.what;
  }
  ScriptedServer server({bytes(rows[0].response)});
  OpenAiGenerator generator(options_for(server.url()));
  const std::string error = error_message([&] { generator.generate(kMessages); });
  EXPECT_NE(error.find("reports \"provider\" (try 5)"), std::string::npos) << error;
}

ScriptedServer::Answer refusal(const std::string& status, const std::string& body) {
  return response(status, "application/json", body);
}

TEST(Dialects, AsksAgainWithoutWhatIsRefusedAndRemembersIt) {
  const struct {
    const char* what;
    std::string status, body;
    std::string without, with;      // the parameter that is gone, and the one instead
    std::vector<std::string> lost;  // options
  } rows[] = {
      {"FoundationAgents/OpenManus #555 (OpenAI)",
       "400 Bad Request",
       R"({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use )"
       R"('max_completion_tokens' instead.", "param": "max_tokens", "code": "unsupported_parameter"}})",
       "max_tokens",
       "max_completion_tokens",
       {}},
      {"caozhiyuan/copilot-api #164: without \"param\"",
       "400 Bad Request",
       R"({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use )"
       R"('max_completion_tokens' instead.", "code": "invalid_request_body"}})",
       "max_tokens",
       "max_completion_tokens",
       {}},
      {"gabrii/Cursor-Azure-GPT-5 #33",
       "400 Bad Request",
       R"({"error": {"message": "Unsupported value: 'temperature' does not support 0 with this model. Only the )"
       R"(default (1) value is supported.", "param": "temperature", "code": "unsupported_value"}})",
       "temperature",
       "",
       {"temperature"}},
      {"tinyhumansai/openhuman #2076 (Kimi)",
       "400 Bad Request",
       R"({"error":{"message":"invalid temperature: only 1 is allowed for this model"}})",
       "temperature",
       "",
       {"temperature"}},
      {"ai-forever/gigachain #237: 0 is refused, in words about a range",
       "422 Unprocessable Entity",
       R"x({"status":422,"message":"Invalid params: temperature must be in range (0, +inf)"})x",
       "temperature",
       "",
       {"temperature"}},
      {"openai/openai-agents-python #442 (Mistral)",
       "422 Unprocessable Entity",
       R"({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not )"
       R"(permitted", "input": {"include_usage": true}}]})",
       "stream_options",
       "",
       {}},
      {"gpustack/gpustack #429 (vLLM): the same within text",
       "400 Bad Request",
       R"({"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': )"
       R"('Extra inputs are not permitted', 'input': {'include_usage': True}}]", "param": null, "code": 400})",
       "stream_options",
       "",
       {}},
      {"a part of the parameter",
       "400 Bad Request",
       R"({"error": {"message": "Unknown field.", "param": "stream_options.include_usage"}})",
       "stream_options",
       "",
       {}},
      {"vercel/ai PR 1578 (Groq)",
       "400 Bad Request",
       R"({"error":{"message":"property 'stream_options' is unsupported, did you mean 'stream'?"}})",
       "stream_options",
       "",
       {}},
      {"songquanpeng/one-api #1423 (Azure)",
       "400 Bad Request",
       R"({"error": {"message": "Unrecognized request argument supplied: stream_options"}})",
       "stream_options",
       "",
       {}},
      {"BerriAI/litellm #5803",
       "400 Bad Request",
       R"({"error": {"message": "litellm.BadRequestError: OpenAIException - Error code: 400 - {'error': {'message': )"
       R"(\"The 'stream_options' parameter is only allowed when 'stream' is enabled.\"}}", "code": "400"}})",
       "stream_options",
       "",
       {}},
      {"BeehiveInnovations/pal-mcp-server #134 (OpenRouter): JSON within text",
       "400 Bad Request",
       R"({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"error\": {\"message\": )"
       R"(\"Your organization must be verified to stream this model.\", \"param\": \"stream\"}}"}}})",
       "stream",
       "",
       {}},
      {"skydiscover-ai/skydiscover #15 (Bedrock): one of two",
       "400 Bad Request",
       R"({"error": {"message": "`temperature` and `top_p` cannot both be specified for this model."}})",
       "top_p",
       "",
       {"top_p"}},
      {"partITech/php-mistral #76: Mistral has another name for the seed",
       "422 Unprocessable Entity",
       R"({"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}})",
       "seed",
       "",
       {"seed"}},
      {"a server that falls over it",
       "500 Internal Server Error",
       "TypeError: create() got an unexpected keyword argument 'stream_options'",
       "stream_options",
       "",
       {}},
  };
  const CompletionOptions options = {.max_tokens = 9, .temperature = 0, .top_p = 0.5, .seed = 3};
  for (const auto& row : rows) {
    std::vector<ScriptedServer::Answer> answers(row.status.starts_with("500") ? 5 : 1, refusal(row.status, row.body));
    answers.push_back(bytes(kHello));
    const std::size_t tries = answers.size();
    ScriptedServer server(std::move(answers));
    OpenAiGenerator generator(options_for(server.url()));
    try {
      const Completion answer = generator.generate(kMessages, options);
      EXPECT_EQ(answer.text, "Hello") << row.what;
      EXPECT_EQ(answer.refused_options, row.lost) << row.what;
      EXPECT_EQ(generator.generate(kMessages, options).refused_options, row.lost) << row.what;
    } catch (const Error& error) {
      ADD_FAILURE() << row.what << ": " << error.what();
    }
    ASSERT_EQ(server.requests().size(), tries + 1) << row.what << ": it is remembered";
    Json expected = body_of(server.requests()[0]);
    if (!row.with.empty()) expected[row.with] = expected[row.without];
    expected.erase(row.without);
    if (row.without == "stream") expected.erase("stream_options");
    EXPECT_EQ(body_of(server.requests()[tries - 1]), expected) << row.what;
    EXPECT_EQ(body_of(server.requests()[tries]), expected) << row.what;
  }
}

TEST(Dialects, NothingIsRefusedTwice) {
  const auto refuses = [](const std::string& name) {
    return refusal("400 Bad Request", R"({"error": {"message": "no", "param": ")" + name + "\"}}");
  };
  {
    ScriptedServer server({refuses("max_tokens"), refuses("temperature"), refuses("max_completion_tokens"),
                           refuses("stream_options"), bytes(kHello)});
    OpenAiGenerator generator(options_for(server.url()));
    const Completion answer = generator.generate(kMessages);
    EXPECT_EQ(answer.text, "Hello");
    EXPECT_EQ(answer.refused_options, (std::vector<std::string>{"max_tokens", "temperature"}));
    EXPECT_EQ(server.requests().size(), 5u);
    generator.generate(kMessages);
    EXPECT_EQ(server.requests().size(), 6u);
    const Json last = body_of(server.requests()[5]);
    for (const char* name : {"max_tokens", "max_completion_tokens", "temperature", "stream_options"})
      EXPECT_FALSE(last.contains(name)) << name;
  }
  ScriptedServer server({refuses("temperature")});
  OpenAiGenerator generator(options_for(server.url()));
  const std::string error = error_message([&] { generator.generate(kMessages); });
  EXPECT_NE(error.find("refuses with status 400, \"no\""), std::string::npos) << error;
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST(Dialects, WhatIsNotAboutAParameterIsTheCallersToKnow) {
  const std::string rows[] = {
      // vllm-project/vllm, serving_engine.py
      R"({"error": {"message": "'max_tokens' or 'max_completion_tokens' is too large: 9. This model's maximum context )"
      R"(length is 8 tokens", "param": "max_tokens", "code": 400}})",
      // OpenAI, on a value
      R"({"error": {"message": "Invalid value: temperature must be at most 2", "code": "decimal_above_max_value"}})",
      // OpenAI, on a message that talks of a parameter
      R"({"error": {"message": "Invalid 'messages[0].content': the word temperature", "param": "messages[0].content"}})",
      // FastAPI repeats the request
      R"({"detail": [{"loc": ["body", "user"], "msg": "Field required", "input": {"temperature": 5, "x": "seed"}}]})",
      R"({"error": "please stop and wait for the stream"})",
      "not JSON at all",
  };
  for (const std::string& body : rows) {
    ScriptedServer server({refusal("400 Bad Request", body), bytes(kHello)});
    OpenAiGenerator generator(options_for(server.url()));
    const std::string error =
        error_message([&] { generator.generate(kMessages, {.max_tokens = 9, .temperature = 5, .stop = {"x"}}); });
    EXPECT_NE(error.find("refuses with status 400, "), std::string::npos) << body << "\n" << error;
    EXPECT_EQ(server.requests().size(), 1u) << body;
  }
}

TEST(Dialects, WaitsAsLongAsAServerSays) {
  // openai/openai-python #957: "retry-after-ms" is the finer one. RFC 9110, section 10.2.3: seconds or a time.
  using std::chrono::sys_days;
  const auto now = sys_days(std::chrono::year(1994) / 11 / 6) + std::chrono::hours(8) + std::chrono::minutes(49);
  const struct {
    std::string seconds, fine;
    std::optional<milliseconds> wait;
  } rows[] = {
      {"", "", {}},
      {"7", "", milliseconds(7000)},
      {"1.5", "", milliseconds(1500)},
      {"7", "250", milliseconds(250)},
      {"7", "soon", milliseconds(7000)},
      {"Sun, 06 Nov 1994 08:49:37 GMT", "", milliseconds(37'000)},
      {"Sun, 06 Nov 1994 08:48:37 GMT", "", milliseconds(0)},
      {"Sun, 31 Feb 1994 08:49:37 GMT", "", {}},
      {"Sun, 06 Nov 1994 08:49:37 GMT+1", "", {}},
      {"later", "", {}},
      {"-1", "", {}},
      {"nan", "", {}},
      {"99999999999999999999", "", {}},
  };
  for (const auto& row : rows) {
    httplib::Response response;
    if (!row.seconds.empty()) response.set_header("Retry-After", row.seconds);
    if (!row.fine.empty()) response.set_header("retry-after-ms", row.fine);
    EXPECT_EQ(detail::asked_wait(response, now), row.wait) << row.seconds << " " << row.fine;
  }
}

}  // namespace
}  // namespace graft::test
