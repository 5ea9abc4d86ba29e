#include "gone.hpp"

#include <cstdio>

#include "graft/core/error.hpp"
#include "store.hpp"

bool is_there(const std::string& source) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(source, error);
  return status.type() != std::filesystem::file_type::not_found;
}

std::vector<graft::DocumentOrigin> gone_documents(graft::Store& store, const std::vector<std::filesystem::path>& places,
                                                  const graft::GivenDocuments& given,
                                                  const std::set<std::string>& read_whole) {
  std::vector<graft::DocumentOrigin> out;
  std::set<graft::DocumentId> seen;  // places may lie within each other
  const auto snapshot = store.read();
  for (const std::filesystem::path& place : places)
    for (graft::DocumentOrigin& origin : snapshot->origins(place.string())) {
      if (given.contains(origin.uri) || !seen.insert(origin.id).second) continue;
      if (read_whole.contains(origin.source) || !is_there(origin.source)) out.push_back(std::move(origin));
    }
  return out;
}

void remove_documents(graft::Store& store, const std::vector<graft::DocumentOrigin>& documents) {
  const auto writer = store.write();
  for (const graft::DocumentOrigin& document : documents) writer->remove(document.uri);
  writer->commit();
}

int run_remove(const RemoveOptions& options) {
  const auto store = open_store(options.store, false);
  std::vector<graft::DocumentOrigin> found;
  std::set<graft::DocumentId> seen;
  {
    const auto snapshot = store->read();
    const auto add = [&](const graft::DocumentOrigin& origin) {
      if (seen.insert(origin.id).second) found.push_back(origin);
    };
    for (const std::string& name : options.names) {
      if (name.empty()) throw graft::OptionError("the name of a document is empty; say what to remove");
      const std::size_t before = seen.size();
      if (const auto document = snapshot->find(name)) add({document->id, document->uri, document->source});
      std::error_code error;
      for (const std::filesystem::path& place :
           {std::filesystem::path(name), std::filesystem::weakly_canonical(std::filesystem::absolute(name), error)})
        if (!error)
          for (const graft::DocumentOrigin& origin : snapshot->origins(place.string())) add(origin);
      if (seen.size() == before)
        throw graft::OptionError(
            graft::message(store->name(), ": there is no document ", graft::quoted(name),
                           ", nor one that was read from a file or directory of that name; nothing was removed"));
    }
  }
  remove_documents(*store, found);
  std::printf("%zu documents removed\n", found.size());
  return 0;
}
