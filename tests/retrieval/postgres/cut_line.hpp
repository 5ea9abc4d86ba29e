#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace graft::test {

/// A line to a port of the loopback that passes everything on, until it is told to cut one connection.
class CutLine {
 public:
  explicit CutLine(int to) : to_(to) {
    listening_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    (void)!bind(listening_, reinterpret_cast<sockaddr*>(&address), size);
    (void)!listen(listening_, 8);
    getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] {
      for (int client; (client = accept(listening_, nullptr, nullptr)) >= 0;)
        lines_.emplace_back([this, client] { pass(client); });
    });
  }
  ~CutLine() {
    done_ = true;
    shutdown(listening_, SHUT_RDWR);
    accepting_.join();
    close(listening_);
    for (std::thread& line : lines_) line.join();
  }

  int port() const { return port_; }
  bool was_cut() const { return was_cut_; }

  /// Cuts the connection on which the client next says `word`: before the server's answer, with the word passed on to
  /// the server or not.
  void cut_at(const std::string& word, bool arrives) {
    const std::lock_guard lock(mutex_);
    word_ = word;
    arrives_ = arrives;
  }

 private:
  static sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  void pass(int client) {
    const int server = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = loopback(to_);
    (void)!connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    char bytes[65536];
    while (!done_) {
      pollfd ends[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
      if (poll(ends, 2, 50) < 0) break;
      if (ends[1].revents != 0) {
        const ssize_t size = read(server, bytes, sizeof bytes);
        if (size <= 0) break;
        send(client, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
      }
      if (ends[0].revents != 0) {
        const ssize_t size = read(client, bytes, sizeof bytes);
        if (size <= 0) break;
        const bool cut = says({bytes, static_cast<std::size_t>(size)});
        if (!cut || arrives_) send(server, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
        if (cut) break;
      }
    }
    close(client);
    close(server);
  }

  bool says(std::string_view bytes) {
    const std::lock_guard lock(mutex_);
    if (word_.empty() || bytes.find(word_) == std::string_view::npos) return false;
    word_.clear();
    return was_cut_ = true;
  }

  int to_, port_ = 0, listening_ = -1;
  std::mutex mutex_;
  std::string word_;
  std::atomic<bool> arrives_ = false, was_cut_ = false, done_ = false;
  std::thread accepting_;
  std::vector<std::thread> lines_;
};

}  // namespace graft::test
