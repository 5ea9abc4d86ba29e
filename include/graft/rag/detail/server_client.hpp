#pragma once

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <httplib.h>

#include "graft/core/error.hpp"
#include "graft/rag/detail/server_body.hpp"
#include "graft/rag/detail/server_dialect.hpp"
#include "graft/rag/detail/server_wait.hpp"
#include "graft/rag/openai_generator.hpp"

namespace graft::detail {

/// "http://host:port" and the path below which the protocol's calls lie.
struct ServerAddress {
  std::string origin, path;
};

inline ServerAddress server_address(const std::string& url) {
  const auto refuse = [&](std::string_view what) {
    throw OptionError(message("the address ", quoted(url), " ", what, "; write http://host:port or https://host/path"));
  };
  const std::size_t host = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  if (host == 0) refuse("is neither http:// nor https://");
  for (const char c : url)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f)
      refuse("holds a character that no address has");
  if (url.find_first_of("?#@", host) != std::string::npos) refuse("has a ?, # or @");
  const std::size_t slash = std::min(url.find('/', host), url.size());
  if (slash == host) refuse("names no host");
  ServerAddress out{url.substr(0, slash), url.substr(slash)};
  const std::size_t colon = out.origin.rfind(':');
  if (colon > host && out.origin.find(']', colon) == std::string::npos) {
    std::uint16_t port = 0;
    const char* const end = out.origin.data() + out.origin.size();
    const auto [at, error] = std::from_chars(out.origin.data() + colon + 1, end, port);
    if (error != std::errc() || at != end || port == 0) refuse("has a port that is not 1 to 65535");
  }
  while (out.path.ends_with('/')) out.path.pop_back();
  if (out.path.empty()) out.path = "/v1";
  return out;
}

/// Writing to a connection that the server has closed is an error and no signal, while this lives, in this thread.
class NoBrokenPipe {
 public:
  NoBrokenPipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  NoBrokenPipe(const NoBrokenPipe&) = delete;
  NoBrokenPipe& operator=(const NoBrokenPipe&) = delete;
  ~NoBrokenPipe() {
    const timespec now{};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{}, before_{};
  bool was_pending_ = false;
};

/// The key in an environment variable. No message holds it.
inline std::string key_in(const std::string& variable) {
  if (variable.empty()) return "";
  const char* key = std::getenv(variable.c_str());
  if (!key || *key == '\0')
    throw OptionError(message("the environment variable ", quoted(variable), " holds no key; set it"));
  for (const char* c = key; *c; ++c)
    if (*c < 0x21 || *c > 0x7e)
      throw OptionError(message("the key in the environment variable ", quoted(variable),
                                " has a character that a header cannot carry; copy it again"));
  return key;
}

inline void check_patience(const ServerPatience& patience) {
  for (const auto& [name, time] : {std::pair("connect", patience.connect), std::pair("silence", patience.silence),
                                   std::pair("total", patience.total), std::pair("first_wait", patience.first_wait),
                                   std::pair("longest_wait", patience.longest_wait)})
    if (time.count() < 1 || time > std::chrono::hours(24))
      throw OptionError(message("the time \"", name, "\" is ", time.count(), " ms; choose 1 to 86400000"));
  if (patience.retries > 100) throw OptionError(message("retries is ", patience.retries, "; choose 0 to 100"));
}

/// A server refuses a request; its words are kept.
class RefusedRequest : public FileError {
 public:
  RefusedRequest(const std::string& what, std::string words) : FileError(what), words(std::move(words)) {}

  std::string words;
};

/// Asks one server, each time on a connection of its own.
class ServerClient {
 public:
  using Clock = std::chrono::steady_clock;

  /// Throws OptionError for an address, key or time that cannot be.
  ServerClient(const std::string& url, const std::string& key_variable, ServerPatience patience)
      : address_(server_address(url)), key_(key_in(key_variable)), patience_(std::move(patience)) {
    check_patience(patience_);
  }

  std::string where() const { return address_.origin + address_.path; }

  /// Sends a request, again as long as the server is busy, and gives the answer to `body`. Throws what that throws;
  /// RefusedRequest; FileError for a server that is away, slow, or breaks off before the answer is whole.
  void ask(const std::string& method, const std::string& call, const std::string& text, ServerBody& body) {
    httplib::Request request;
    request.method = method;
    request.path = address_.path + call;
    request.body = text;
    request.set_header("Accept", "text/event-stream, application/json");
    request.set_header("Accept-Encoding", "identity");
    if (!text.empty()) request.set_header("Content-Type", "application/json");
    if (!key_.empty()) request.set_header("Authorization", "Bearer " + key_);
    const Clock::time_point deadline = Clock::now() + patience_.total;
    for (std::size_t tries = 0;; ++tries) {
      Exchange exchange;
      try {
        exchange = send(request, deadline, body);
        if (exchange.exception) std::rethrow_exception(exchange.exception);
        if (!exchange.head || is_good(exchange.response.status)) {
          const bool is_cut = exchange.error != httplib::Error::Success;
          const bool whole = exchange.enough || (exchange.head && body.settle(is_cut));
          if (!whole && is_cut) fail(exchange);
          return body.end();
        }
      } catch (const ReportedError& error) {
        exchange.reported = true;
        exchange.response.status = error.status;
        exchange.response.body = error.body;
      } catch (...) {
        rethrow_without_key(std::current_exception());
      }
      wait_or_fail(exchange, tries);
    }
  }

  std::string without_key(std::string text) const {
    if (key_.empty()) return text;
    for (std::size_t at = 0; (at = text.find(key_, at)) != std::string::npos; at += 3)
      text.replace(at, key_.size(), "***");
    return text;
  }

  /// An error that quotes the server may quote the key.
  [[noreturn]] void rethrow_without_key(const std::exception_ptr& exception) const {
    try {
      std::rethrow_exception(exception);
    } catch (const FileError& error) {
      throw FileError(without_key(error.what()));
    } catch (const FormatError& error) {
      throw FormatError(without_key(error.what()));
    }
  }

 private:
  /// What one request came to.
  struct Exchange {
    httplib::Error error = httplib::Error::Success;
    httplib::Response response;
    bool head = false;             // the response's head was read
    bool silent = false;           // the server said nothing for too long
    bool enough = false;           // the body wanted no more
    bool reported = false;         // status and words came within a good answer
    std::size_t bytes = 0;         // of the body
    std::exception_ptr exception;  // of who took the body
  };

  static bool is_good(int status) { return status >= 200 && status < 300; }

  /// Sends a request and gives the body of a good response to `body`.
  Exchange send(httplib::Request request, Clock::time_point deadline, ServerBody& body) const {
    const NoBrokenPipe no_signal;
    Exchange out;
    httplib::Client client(address_.origin);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    const auto silence = std::max(std::chrono::milliseconds(1), std::min(patience_.silence, left));
    client.set_connection_timeout(patience_.connect);
    client.set_read_timeout(silence);
    client.set_write_timeout(silence);
    Clock::time_point last = Clock::now();
    httplib::Response head;
    request.response_handler = [&](const httplib::Response& response) {
      head = response;
      last = Clock::now();
      if (is_good(head.status)) body.begin(head.get_header_value("Content-Type"));
      return out.head = true;
    };
    std::string refusal;
    request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
      last = Clock::now();
      if (!is_good(head.status)) {
        refusal.append(data, std::min<std::size_t>(size, (64 << 10) - std::min<std::size_t>(refusal.size(), 64 << 10)));
        return refusal.size() < 64 << 10;
      }
      if (last > deadline) return out.silent = true, false;
      out.bytes += size;
      try {
        out.enough = !body.add({data, size});
        return !out.enough;
      } catch (...) {
        out.exception = std::current_exception();
        return false;
      }
    };
    client.send(request, out.response, out.error);
    if (out.head) out.response = head;
    out.response.body = refusal;
    out.silent = out.silent || (out.error == httplib::Error::Read && Clock::now() - last >= silence);
    return out;
  }

  /// Before the next try, if there is one.
  void wait_or_fail(const Exchange& exchange, std::size_t tries) {
    const int status = exchange.response.status;
    const auto asked = asked_wait(exchange.response, std::chrono::system_clock::now());
    const bool too_long = asked && *asked > patience_.longest_wait;
    if (!worth_a_retry(status) || tries >= patience_.retries || too_long) {
      const std::string words = without_key(server_words(exchange.response.body));
      std::string advice;
      if (status == 401 || status == 403) advice = "; name the environment variable that holds the key";
      if (status == 404) advice = "; check address and model";
      if (status >= 300 && status < 400)
        advice = message("; it points to ", quoted(exchange.response.get_header_value("Location"), 200));
      if (too_long) advice = message("; it asks to wait for ", asked->count() / 1000, " s");
      const std::string what =
          exchange.reported ? message(": reports ", quoted(words, 300)) : message(": refuses with status ", status);
      const std::string said = exchange.reported || words.empty() ? "" : message(", ", quoted(words, 300));
      const std::string again = tries > 0 ? message(" (try ", tries + 1, ")") : "";
      throw RefusedRequest(message(where(), what, again, said, advice), exchange.response.body);
    }
    auto wait =
        std::min(patience_.first_wait * (std::int64_t{1} << std::min<std::size_t>(tries, 16)), patience_.longest_wait);
    {
      const std::lock_guard lock(mutex_);
      wait = asked.value_or(wait / 2 + std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(
                                           0, (wait - wait / 2).count())(random_)));
    }
    if (patience_.wait)
      patience_.wait(wait);
    else
      std::this_thread::sleep_for(wait);
  }

  [[noreturn]] void fail(const Exchange& exchange) const {
    const auto seconds = [](std::chrono::milliseconds time) { return static_cast<double>(time.count()) / 1000; };
    const std::string half = exchange.head ? message(" half way, after ", exchange.bytes, " bytes") : "";
    if (exchange.silent)
      throw FileError(message(where(), ": is too slow: no answer within ", seconds(patience_.silence),
                              " s of silence or ", seconds(patience_.total), " s in all", half, "; raise the times"));
    switch (exchange.error) {
      case httplib::Error::Connection:
      case httplib::Error::BindIPAddress:
        throw FileError(message(where(), ": cannot be reached; is the server running?"));
      case httplib::Error::ConnectionTimeout:
        throw FileError(message(where(), ": did not take the connection within ", seconds(patience_.connect),
                                " s; is the server running?"));
      case httplib::Error::SSLConnection:
      case httplib::Error::SSLLoadingCerts:
      case httplib::Error::SSLServerVerification:
        throw FileError(message(where(), ": no secure connection could be made (", httplib::to_string(exchange.error),
                                "); check its certificate"));
      default:
        if (exchange.head) throw FileError(message(where(), ": closed the connection", half, "; ask again"));
        throw FileError(message(where(),
                                ": closed the connection without an answer, or answered in another protocol "
                                "than HTTP; check the address"));
    }
  }

  ServerAddress address_;
  std::string key_;
  ServerPatience patience_;
  std::mutex mutex_;  // guards what follows
  std::mt19937_64 random_{std::random_device()()};
};

}  // namespace graft::detail
