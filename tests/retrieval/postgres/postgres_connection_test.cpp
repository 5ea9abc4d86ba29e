#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "graft/retrieval/postgres/address.hpp"
#include "graft/retrieval/postgres_store.hpp"
#include "retrieval/add.hpp"
#include "retrieval/postgres/cut_line.hpp"
#include "retrieval/postgres/stores.hpp"
#include "retrieval/support.hpp"

// Lost connections and passwords.

namespace graft {
namespace {

using test::administrator;
using test::fresh_schema;
using test::open;
using test::PostgresServer;

void terminate_others() {
  auto connection = administrator();
  connection.once(
      "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'client backend' "
      "AND pid <> pg_backend_pid()");
}

TEST(PostgresStore, AfterALostConnectionTheNextCallConnectsAgain) {
  const auto store = open(fresh_schema());
  {
    auto writer = store->write();
    add(*writer, "kept", "kept");
    writer->commit();
  }
  auto idle = store->read();
  idle.reset();
  auto reader = store->read();
  auto writer = store->write();
  add(*writer, "lost", "lost");
  terminate_others();
  test::expect_error<FileError>([&] { reader->size(); }, "the connection was lost");
  test::expect_error<FileError>([&] { add(*writer, "more", "more"); }, "call read() or write() again");
  test::expect_error<StateError>([&] { writer->remove("kept"); }, "this writer has ended");
  test::expect_error<StateError>([&] { writer->commit(); }, "this writer has ended");
  writer.reset();
  reader.reset();
  EXPECT_EQ(store->read()->size().documents, 1u);
  terminate_others();
  EXPECT_EQ(store->read()->size().documents, 1u) << "an idle connection that was lost is replaced";
  writer = store->write();
  add(*writer, "new", "new");
  terminate_others();
  test::expect_error<FileError>([&] { writer->commit(); }, "the connection was lost");
  EXPECT_FALSE(store->read()->find("new"));
  store->check();
}

TEST(PostgresStore, ACommitUnderWhichTheLineWasCutTellsWhetherItWasKept) {
  for (const bool arrives : {true, false}) {
    test::CutLine line(PostgresServer::instance().port());
    PostgresStore store(PostgresServer::instance().address(PostgresServer::kEscapedPassword, line.port()),
                        {.schema = fresh_schema()});
    auto writer = store.write();
    add(*writer, "a", "text");
    line.cut_at("COMMIT", arrives);
    if (arrives)
      EXPECT_NO_THROW(writer->commit());
    else
      test::expect_error<FileError>([&] { writer->commit(); }, "the connection was lost");
    EXPECT_TRUE(line.was_cut());
    writer.reset();
    EXPECT_EQ(store.read()->size().documents, arrives ? 1u : 0u);
  }
}

TEST(PostgresStore, AServerThatIsDownIsAnErrorUntilItIsUpAgain) {
  auto& server = PostgresServer::instance();
  const std::string schema = fresh_schema();
  const auto store = open(schema);
  {
    auto writer = store->write();
    add(*writer, "a", "text");
    writer->commit();
  }
  server.stop();
  test::expect_error<FileError>([&] { store->read(); }, "cannot be connected to: ");
  test::expect_error<FileError>([&] { store->write(); }, message("127.0.0.1:", server.port()));
  test::expect_error<FileError>([&] { graft::open(schema); }, "cannot be connected to: ");
  server.start();
  EXPECT_EQ(store->read()->size().documents, 1u);
  EXPECT_NO_THROW(store->write()->commit());
}

TEST(PostgresStore, TheServersTroublesAreCalledWhatTheyAre) {
  const auto with = [](const char* state) {
    return [state] { detail::throw_postgres_error("store", true, state, "reason"); };
  };
  test::expect_error<FileError>(with("53100"), "store: the server's disk is full; nothing was changed, make room");
  test::expect_error<FileError>(with("53300"), "store: the server has no room left (reason); try again later");
  test::expect_error<FileError>(with("25006"), "store: the database is read-only (reason); connect to the primary");
  test::expect_error<FileError>(with("58030"), "store: the server's disk failed (reason)");
  test::expect_error<FormatError>(with("XX001"), "store: is damaged (reason); restore a copy that is whole");
  test::expect_error<FileError>(with("08006"), "store: the connection was lost (reason)");
}

TEST(PostgresStore, NoMessageHoldsAPassword) {
  auto& server = PostgresServer::instance();
  const std::string port = std::to_string(server.port());
  const std::string secret = "hunter2";
  const std::pair<std::string, const char*> table[] = {
      {"postgresql://graft:hunter2@127.0.0.1:" + port + "/postgres",
       "password authentication failed for user \"graft\""},
      {"postgresql://graft:hunter2@127.0.0.1:1/postgres", "cannot be connected to"},
      {"postgresql://graft:x@hunter2@127.0.0.1:" + port + "/postgres", "has a host with an @"},
      {"postgresql://graft:hunter2/x@127.0.0.1/postgres", "has a dbname with an @"},
      {"postgresql://graft:hunter2/x", "the connection string has a port that is no number"},
      {"postgresql://graft:12/hunter2@127.0.0.1/postgres", "has a dbname with an @"},
      {"postgresql://graft:hunter2%@127.0.0.1/postgres", "the connection string cannot be read; write \"postgresql://"},
      {"postgresql://graft@127.0.0.1/postgres?pasword=hunter2", "cannot be read"},
      {"host=127.0.0.1 user=graft password=very hunter2", "cannot be read"},
      {"host=127.0.0.1 password='hunter2", "cannot be read"},
      {"postgresql://graft:hunter2@127.0.0.1:" + port + "/postgres?sslmode=require", "does not support SSL"},
      {"dbname='postgresql://u:hunter2@h/d'", "has a dbname that is a connection string itself"},
      {"hunter2", "cannot be read"},
  };
  for (const auto& [connection, part] : table) {
    SCOPED_TRACE(connection);
    try {
      PostgresStore store(connection);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find(secret), std::string::npos) << error.what();
    }
  }
  const auto store = open(fresh_schema());
  EXPECT_EQ(store->name().find("p@ss"), std::string::npos);
  EXPECT_NE(store->name().find("127.0.0.1:" + port + "/postgres, schema"), std::string::npos) << store->name();
}

TEST(PostgresStore, TakesThePasswordFromTheUsualPlaces) {
  auto& server = PostgresServer::instance();
  const std::string bare = message("host=127.0.0.1 dbname=postgres user=graft port=", server.port());
  test::expect_error<FileError>([&] { PostgresStore store(bare); }, "no password supplied");
  setenv("PGPASSWORD", PostgresServer::kPassword, 1);
  EXPECT_NO_THROW(PostgresStore(bare, {.schema = fresh_schema()}));
  unsetenv("PGPASSWORD");
  TemporaryDirectory directory;
  const auto file = directory / "pgpass";
  test::write_bytes(file, message("127.0.0.1:", server.port(), ":*:graft:p@ss/w\\:rd% 'x\\\\\n"));
  std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_NO_THROW(PostgresStore(bare + " passfile=" + file.string(), {.schema = fresh_schema()}));
}

}  // namespace
}  // namespace graft
