#pragma once

#include "graft/text/vocabulary.hpp"

namespace graft {

GRAFT_INLINE Vocabulary::Vocabulary(const std::vector<Entry>& entries, std::string_view where, Repeated repeated) {
  constexpr std::int32_t limit = 1 << 24;
  if (entries.size() > limit) {
    throw FormatError(message(where, ": ", entries.size(), " tokens; a vocabulary has at most ", limit));
  }
  std::vector<const Entry*> sorted;
  sorted.reserve(entries.size());
  std::size_t bytes = 0;
  for (const Entry& entry : entries) {
    if (entry.id < 0 || entry.id >= limit) {
      throw FormatError(
          message(where, ": token ", quoted(entry.token), " has id ", entry.id, "; ids go from 0 to ", limit - 1));
    }
    bytes += entry.token.size();
    sorted.push_back(&entry);
  }
  if (bytes > UINT32_MAX) throw FormatError(message(where, ": ", bytes, " bytes of tokens are more than 4 GiB"));
  std::stable_sort(sorted.begin(), sorted.end(), [](const Entry* a, const Entry* b) { return a->id < b->id; });

  texts_.reserve(bytes);
  records_.reserve(sorted.size());
  slots_.resize(std::bit_ceil(sorted.size() * 2 + 2));
  mask_ = slots_.size() - 1;
  for (const Entry* entry : sorted) {
    if (!records_.empty() && records_.back().id == entry->id) {
      throw FormatError(message(where, ": tokens ", quoted(text(records_.back())), " and ", quoted(entry->token),
                                " share the id ", entry->id, "; each token needs its own"));
    }
    records_.push_back(
        {static_cast<std::uint32_t>(texts_.size()), static_cast<std::uint32_t>(entry->token.size()), entry->id});
    texts_ += entry->token;
    if (!entry->token.empty()) insert(static_cast<std::uint32_t>(records_.size()), where, repeated);
  }
}

GRAFT_INLINE void Vocabulary::insert(std::uint32_t record, std::string_view where, Repeated repeated) {
  const std::string_view token = text(records_[record - 1]);
  const std::uint32_t hash = hashed(token);
  std::size_t slot = hash & mask_;
  const auto same = [&](const Slot& other) { return other.hash == hash && text(records_[other.record - 1]) == token; };
  while (slots_[slot].record != 0 && !same(slots_[slot])) slot = (slot + 1) & mask_;
  if (slots_[slot].record != 0 && repeated == Repeated::error) {
    throw FormatError(message(where, ": token ", quoted(token), " has two ids, ", records_[slots_[slot].record - 1].id,
                              " and ", records_[record - 1].id, "; remove one of the entries"));
  }
  slots_[slot] = {hash, record};
}

GRAFT_INLINE std::optional<std::string_view> Vocabulary::token(std::int32_t id) const {
  // Without gaps an id is its own place.
  const auto place = static_cast<std::size_t>(id);
  if (id >= 0 && place < records_.size() && records_[place].id == id) return text(records_[place]);
  const auto found = std::lower_bound(records_.begin(), records_.end(), id,
                                      [](const Record& record, std::int32_t value) { return record.id < value; });
  if (found == records_.end() || found->id != id) return std::nullopt;
  return text(*found);
}

GRAFT_INLINE std::vector<Vocabulary::Entry> Vocabulary::entries() const {
  std::vector<Entry> out;
  out.reserve(records_.size());
  for (const Record& record : records_) out.push_back({std::string(text(record)), record.id});
  return out;
}

GRAFT_INLINE std::uint32_t Vocabulary::hashed(std::string_view token) {
  // Eight bytes a step, the last step overlapping; each step multiplies to 128 bits and folds.
  const auto load = [](const char* at, std::size_t count) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, count);
    return value;
  };
  const auto fold = [](std::uint64_t a, std::uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15;  // 2^64 / the golden ratio
  std::uint64_t state = odd ^ token.size();
  const char* at = token.data();
  std::size_t left = token.size();
  for (; left > 8; left -= 8, at += 8) state = fold(state ^ load(at, 8), odd);
  const std::uint64_t last = left == 8   ? load(at, 8)
                             : left >= 4 ? load(at, 4) | load(at + left - 4, 4) << 32
                             : left > 0  ? load(at, 1) | load(at + left / 2, 1) << 8 | load(at + left - 1, 1) << 16
                                         : 0;
  state = fold(state ^ last, odd);
  return static_cast<std::uint32_t>(state ^ state >> 32);
}

}  // namespace graft
