#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <httplib.h>

namespace graft::test {

/// A socket of the loopback that listens, closed with the object.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(socket_, 16) != 0 ||
        getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("no port is free");
    port_ = ntohs(address.sin_port);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() { close(socket_); }

  int port() const { return port_; }
  int socket() const { return socket_; }

 private:
  int socket_;
  int port_ = 0;
};

/// A server that sends just what a test tells it to, whether that is HTTP or not: the n-th connection gets the n-th
/// answer, later ones the last. "GET .../models" is answered by itself.
class ScriptedServer {
 public:
  /// Writes to the socket; the connection is closed when it returns.
  using Answer = std::function<void(int socket)>;

  explicit ScriptedServer(std::vector<Answer> answers) : answers_(std::move(answers)), thread_([this] { run(); }) {}
  ~ScriptedServer() {
    ending_ = true;
    thread_.join();
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(listener_.port()); }

  /// What was sent to it, but for what it answers by itself.
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  const std::atomic<bool>& ending() const { return ending_; }

 private:
  void run() {
    while (!ending_) {
      pollfd waiting{listener_.socket(), POLLIN, 0};
      if (poll(&waiting, 1, 10) <= 0) continue;
      const int socket = accept(listener_.socket(), nullptr, nullptr);
      const std::string request = read_request(socket);
      if (request.starts_with("GET ")) {
        const std::string body = R"({"object": "list", "data": [{"id": "small", "object": "model"}]})";
        send_all(socket, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
                             std::to_string(body.size()) + "\r\n\r\n" + body);
      } else {
        std::size_t number = 0;
        {
          const std::lock_guard lock(mutex_);
          number = std::min(requests_.size(), answers_.size() - 1);
          requests_.push_back(request);
        }
        answers_[number](socket);
      }
      close(socket);
    }
  }

  static std::string read_request(int socket) {
    std::string text;
    std::array<char, 65536> bytes{};
    while (true) {
      const std::size_t head = text.find("\r\n\r\n");
      if (head != std::string::npos) {
        const std::size_t at = text.find("Content-Length: ");
        const std::size_t body = at < head ? std::stoul(text.substr(at + 16)) : 0;
        if (text.size() >= head + 4 + body) return text;
      }
      const auto count = ::read(socket, bytes.data(), bytes.size());
      if (count <= 0) return text;
      text.append(bytes.data(), static_cast<std::size_t>(count));
    }
  }

 public:
  static void send_all(int socket, std::string_view text) {
    while (!text.empty()) {
      const auto count = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }

 private:
  Listener listener_;
  std::vector<Answer> answers_;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

/// An answer of one response, whole.
inline ScriptedServer::Answer response(const std::string& status, const std::string& type, const std::string& body,
                                       const std::string& more_head = "") {
  return [=](int socket) {
    ScriptedServer::send_all(socket, "HTTP/1.1 " + status + "\r\nContent-Type: " + type + "\r\n" + more_head +
                                         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  };
}

/// Bytes and no more.
inline ScriptedServer::Answer bytes(const std::string& text) {
  return [=](int socket) { ScriptedServer::send_all(socket, text); };
}

/// llama.cpp's own server, with SmolLM2, which it has loaded.
class LlamaServer {
 public:
  static LlamaServer& instance() {
    static LlamaServer server;
    return server;
  }
  ~LlamaServer() {
    if (pipe_) pclose(pipe_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  LlamaServer() {
    {
      const Listener listener;
      port_ = listener.port();
    }
    const std::string here = __FILE__;
    const std::string script = here.substr(0, here.rfind("/rag/http/")) + "/reference/llama_server.py";
    pipe_ = popen(("'" GRAFT_DEPS "/peers/bin/python' '" + script +
                   "' '" GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf' " + std::to_string(port_) +
                   " 2048 >/dev/null 2>&1")
                      .c_str(),
                  "we");
    if (!pipe_) throw std::runtime_error("cannot run llama.cpp's server");
    httplib::Client client(url());
    for (int i = 0; i < 1200; ++i) {  // until it has loaded its model it refuses with status 503
      if (const auto health = client.Get("/health"); health && health->status == 200) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    pclose(pipe_);
    throw std::runtime_error("llama.cpp's server did not start");
  }

  int port_ = 0;
  std::FILE* pipe_ = nullptr;
};

}  // namespace graft::test
