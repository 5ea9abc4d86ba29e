#pragma once

#include "graft/retrieval/copy.hpp"

namespace graft::detail {

GRAFT_INLINE std::size_t copy_vectors(Snapshot& source, Writer& target, const VectorSpace& space,
                                      std::span<const PassageId> ids,
                                      const std::unordered_map<PassageId, PassageId>& renamed) {
  std::vector<PassageId> sorted(ids.begin(), ids.end()), lacking = source.without_vectors(space, ids), have, fresh;
  std::sort(sorted.begin(), sorted.end());
  std::sort(lacking.begin(), lacking.end());
  std::set_difference(sorted.begin(), sorted.end(), lacking.begin(), lacking.end(), std::back_inserter(have));
  for (const PassageId id : have) fresh.push_back(renamed.at(id));
  constexpr std::size_t kTogether = 10'000;
  for (std::size_t i = 0; i < have.size(); i += kTogether) {
    const std::size_t count = std::min(kTogether, have.size() - i);
    target.put_vectors(space, std::span(fresh).subspan(i, count),
                       source.vectors(space, std::span(have).subspan(i, count)));
  }
  return have.size();
}

}  // namespace graft::detail

namespace graft {

GRAFT_INLINE CopyReport copy_store(Store& from, Store& to, const CopyOptions& options) {
  if (options.batch == 0) throw OptionError("batch is 0 in the options of a copy; choose 1 or more");
  const auto source = from.read();
  const auto target = to.write();
  const std::vector<VectorSpace> spaces = source->spaces();
  for (const VectorSpace& space : spaces) target->add_space(space);
  CopyReport report;
  for (DocumentId after = 0;;) {
    if (options.stop && options.stop()) return {};
    const std::vector<StoredDocument> batch = source->documents(after, options.batch);
    if (batch.empty()) break;
    after = batch.back().id;
    std::vector<PassageId> ids;
    std::unordered_map<PassageId, PassageId> renamed;
    for (const StoredDocument& document : batch) {
      std::vector<PassageRange> ranges;
      const std::size_t first = ids.size();
      for (Passage& passage : source->passages_of(document.id)) {
        ranges.push_back(std::move(passage.range));
        ids.push_back(passage.id);
      }
      const std::vector<PassageId> fresh =
          target->put({document.uri, source->text(document.id), document.metadata, document.modified, document.source},
                      ranges, document.cutting);
      for (std::size_t i = 0; i < fresh.size(); ++i) renamed.emplace(ids[first + i], fresh[i]);
    }
    for (const VectorSpace& space : spaces)
      report.vectors += detail::copy_vectors(*source, *target, space, ids, renamed);
    report.documents += batch.size();
    report.passages += ids.size();
    if (options.progress) options.progress(report);
  }
  for (const auto& [name, text] : source->notes()) target->set_note(name, text);
  target->commit();
  return report;
}

}  // namespace graft
