#pragma once

#include <memory>
#include <string>

#include "graft/retrieval/postgres/connection.hpp"
#include "graft/retrieval/postgres_store.hpp"
#include "retrieval/postgres/server.hpp"

namespace graft::test {

/// A connection for what a store would not do.
inline detail::PostgresConnection administrator() {
  return {detail::PostgresAddress(PostgresServer::instance().address()), "test"};
}

/// A schema that no other test has.
inline std::string fresh_schema() {
  static int number = 0;
  return message("store \"", ++number, "\" '; --");
}

inline std::unique_ptr<PostgresStore> open(const std::string& schema, PostgresStoreOptions options = {}) {
  options.schema = schema;
  return std::make_unique<PostgresStore>(PostgresServer::instance().address(), options);
}

}  // namespace graft::test
