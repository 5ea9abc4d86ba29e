#include "store.hpp"

#include <algorithm>

#include "graft/core/error.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#ifdef RAG_WITH_POSTGRES
#include "graft/retrieval/postgres_store.hpp"
#endif

bool is_postgres(std::string_view name) { return name.starts_with("postgresql://") || name.starts_with("postgres://"); }

#ifdef RAG_WITH_POSTGRES
namespace {

/// The store in a PostgreSQL database. Its schema is "graft" unless the address names one: `?schema=NAME`, a parameter
/// that libpq does not know and does not see.
std::unique_ptr<graft::Store> open_postgres(const std::string& name, bool create) {
  graft::PostgresStoreOptions options{.create = create};
  std::string address = name.substr(0, name.find('?'));
  for (std::size_t at = address.size(); at < name.size();) {
    const std::size_t end = std::min(name.find('&', at + 1), name.size());
    const std::string parameter = name.substr(at + 1, end - at - 1);
    if (parameter.starts_with("schema=")) {
      options.schema = parameter.substr(7);
      if (options.schema.find('%') != std::string::npos)
        throw graft::OptionError(graft::message("the address names the schema ", graft::quoted(options.schema),
                                                "; write a name that needs no %, as in ?schema=team"));
    } else {
      address += (address.find('?') == std::string::npos ? "?" : "&") + parameter;
    }
    at = end;
  }
  return std::make_unique<graft::PostgresStore>(address, options);
}

}  // namespace
#endif

std::unique_ptr<graft::Store> open_store(const std::string& name, bool create) {
  if (is_postgres(name)) {
#ifdef RAG_WITH_POSTGRES
    return open_postgres(name, create);
#else
    throw graft::OptionError(
        "this rag was built without PostgreSQL; install libpq (Debian: libpq-dev) and build again");
#endif
  }
  if (!create && !std::filesystem::exists(name))
    throw graft::OptionError(graft::message("there is no store ", graft::quoted(name), "; make it with: rag index"));
  return std::make_unique<graft::SqliteStore>(name, graft::SqliteStoreOptions{.create = create});
}

std::filesystem::path index_file(const std::string& store) { return is_postgres(store) ? "" : store + "-index"; }
