#include "graft/retrieval/filter.hpp"

#include <algorithm>
#include <memory>

#include <nlohmann/json.hpp>

#include "fuzz/fuzz.hpp"
#include "graft/retrieval/sqlite_store.hpp"

namespace graft::fuzzing::filter {

namespace {

/// A snapshot of a store with one passage for each of some documents.
Snapshot& documents() {
  static SqliteStore store(folder() / "documents.db");
  static const std::unique_ptr<Snapshot> snapshot = [] {
    const auto writer = store.write();
    for (const char* metadata :
         {R"({})", R"({"a": 1, "b": "x", "c": true})", R"({"a": 2.5, "b": ["x", "y"], "c": null})",
          R"({"a": "1", "b": {"c": [1, 2]}})", R"({"a": [], "b": false, "c": -9223372036854775808})"}) {
      const std::string uri = message("d", writer->size().documents);
      writer->put({.uri = uri, .text = "text", .metadata = Json::parse(metadata), .modified = 3},
                  std::vector<PassageRange>{{0, 4}});
    }
    writer->commit();
    return store.read();
  }();
  return *snapshot;
}

std::vector<PassageId> matching(const Filter& filter) {
  return must("a filter cannot be asked for: " + filter.text(), [&] { return documents().matching(filter); });
}

}  // namespace

/// A filter's text: it is printed as it is meant, and every document is found by the filter or by its opposite.
void fuzz(std::string_view input) {
  const Filter filter = Filter::parse(input);
  const std::string text = filter.text();
  must("a filter's text cannot be read: " + text, [&] {
    check(Filter::parse(text) == filter, "a filter's text is another filter: " + text);
    check(Filter::parse(text).text() == text, "a filter's text is not stable: " + text);
  });
  const std::vector<PassageId> found = matching(filter), others = matching(!filter);
  check(matching(!!filter) == found, "a filter turned round twice is another one: " + text);
  std::vector<PassageId> all;
  std::merge(found.begin(), found.end(), others.begin(), others.end(), std::back_inserter(all));
  check(all == matching(filter || !filter), "a document is neither or both of those found and those not: " + text);
}

}  // namespace graft::fuzzing::filter
