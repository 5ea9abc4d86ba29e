#include "judge.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <unordered_map>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/retrieval/metrics.hpp"
#include "printing.hpp"

namespace {

constexpr std::size_t kDepth = 100;  // of each ranking, as Query has it

/// Questions whose value changed most, best first or worst first.
std::vector<std::size_t> most_changed(const Judged& before, const Judged& after, bool better) {
  std::vector<std::size_t> order(before.ndcg.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto gain = [&](std::size_t i) { return (after.ndcg[i] - before.ndcg[i]) * (better ? 1 : -1); };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return gain(a) > gain(b); });
  constexpr std::size_t kShown = 5;
  order.resize(std::min(order.size(), kShown));
  std::erase_if(order, [&](std::size_t i) { return gain(i) <= 0; });
  return order;
}

Judged judge(std::string name, std::span<const graft::JoinExample> examples, const graft::JoinWeights& weights,
             bool vectors, bool words) {
  Judged out{std::move(name), {}};
  for (const graft::JoinExample& example : examples) {
    graft::JoinExample part = example;
    if (!vectors) part.vectors.clear();
    if (!words) part.words.clear();
    out.ndcg.push_back(graft::joined_ndcg(part, weights));
  }
  return out;
}

}  // namespace

StoredVectors read_vectors(graft::Snapshot& snapshot, const graft::VectorSpace& space) {
  StoredVectors out;
  out.space = space;
  out.passages = snapshot.vector_ids(space);
  constexpr std::size_t kTogether = 10'000;
  for (std::size_t i = 0; i < out.passages.size(); i += kTogether) {
    const auto part = std::span(out.passages).subspan(i, std::min(kTogether, out.passages.size() - i));
    const std::vector<float> numbers = snapshot.vectors(space, part);
    out.numbers.insert(out.numbers.end(), numbers.begin(), numbers.end());
    const std::vector<graft::DocumentId> documents = snapshot.documents_of(part);
    out.documents.insert(out.documents.end(), documents.begin(), documents.end());
  }
  return out;
}

std::vector<graft::JoinExample> rank_vectors(const StoredVectors& stored, const graft::ExactIndex& index,
                                             std::span<const graft::StoreQuestion> questions,
                                             std::span<const float> vectors) {
  std::unordered_map<graft::PassageId, graft::DocumentId> document_of;
  for (std::size_t i = 0; i < stored.passages.size(); ++i) document_of[stored.passages[i]] = stored.documents[i];
  auto near = index.search(vectors, kDepth);
  std::vector<graft::JoinExample> out;
  for (std::size_t q = 0; q < questions.size(); ++q) {
    graft::JoinExample example;
    for (const graft::Scored& entry : near[q]) example.documents[entry.id] = document_of.at(entry.id);
    example.vectors = std::move(near[q]);
    example.right = questions[q].right;
    out.push_back(std::move(example));
  }
  return out;
}

std::vector<graft::JoinExample> rank(graft::Snapshot& snapshot, const StoredVectors& stored,
                                     const graft::ExactIndex& index, std::span<const graft::StoreQuestion> questions,
                                     std::span<const float> vectors) {
  std::vector<graft::JoinExample> out = rank_vectors(stored, index, questions, vectors);
  for (std::size_t q = 0; q < questions.size(); ++q) {
    out[q].words = snapshot.search_words(questions[q].text, kDepth);
    std::vector<graft::PassageId> passages;
    for (const graft::Scored& entry : out[q].words) passages.push_back(entry.id);
    const std::vector<graft::DocumentId> documents = snapshot.documents_of(passages);
    for (std::size_t i = 0; i < passages.size(); ++i) out[q].documents[passages[i]] = documents[i];
  }
  return out;
}

double mean(const Judged& judged) {
  return std::accumulate(judged.ndcg.begin(), judged.ndcg.end(), 0.0) /
         static_cast<double>(std::max<std::size_t>(1, judged.ndcg.size()));
}

Share best_share(double before, std::optional<double> fixed, const std::function<double(double share)>& quality) {
  if (fixed) return {*fixed, *fixed == 0 ? before : quality(*fixed)};
  Share out{0, before};
  for (int tenth = 1; tenth <= 10; ++tenth)
    if (const double now = quality(tenth / 10.0); now > out.after) out = {tenth / 10.0, now};
  return out;
}

Judged judge_vectors(std::string name, std::span<const graft::JoinExample> examples) {
  return judge(std::move(name), examples, {}, true, false);
}
Judged judge_words(std::string name, std::span<const graft::JoinExample> examples) {
  return judge(std::move(name), examples, {}, false, true);
}
Judged judge_joined(std::string name, std::span<const graft::JoinExample> examples, const graft::JoinWeights& weights) {
  return judge(std::move(name), examples, weights, true, true);
}

graft::Json json_of(const Judged& judged) {
  const graft::Estimate ndcg = graft::bootstrap(judged.ndcg);
  return {{"name", judged.name}, {"ndcg_at_10", ndcg.mean}, {"low", ndcg.low}, {"high", ndcg.high}};
}

void print_table(std::span<const Judged> all) {
  std::printf("%-34s  %7s  %s\n", "", "nDCG@10", "95 % interval");
  for (const Judged& judged : all) {
    const graft::Estimate ndcg = graft::bootstrap(judged.ndcg);
    std::printf("%-34s  %7.4f  %.3f to %.3f\n", judged.name.c_str(), ndcg.mean, ndcg.low, ndcg.high);
  }
}

void print_changes(std::span<const graft::StoreQuestion> questions, const Judged& before, const Judged& after) {
  const graft::Comparison change = graft::compare(before.ndcg, after.ndcg);
  std::printf("%s against %s: %+.4f (%+.4f to %+.4f), better in %zu, worse in %zu of %zu questions, p %.3f\n",
              after.name.c_str(), before.name.c_str(), change.difference.mean, change.difference.low,
              change.difference.high, change.wins, change.losses, questions.size(), change.p_value);
  for (const bool better : {true, false})
    for (const std::size_t i : most_changed(before, after, better))
      std::printf("  %s %.3f to %.3f  %s\n", better ? "better" : "worse ", before.ndcg[i], after.ndcg[i],
                  one_line(questions[i].text, 70).c_str());
}

graft::Json changes_json(std::span<const graft::StoreQuestion> questions, const Judged& before, const Judged& after) {
  const graft::Comparison change = graft::compare(before.ndcg, after.ndcg);
  graft::Json out = {{"before", before.name},
                     {"after", after.name},
                     {"difference", change.difference.mean},
                     {"low", change.difference.low},
                     {"high", change.difference.high},
                     {"wins", change.wins},
                     {"losses", change.losses},
                     {"ties", change.ties},
                     {"p_value", change.p_value}};
  for (const bool better : {true, false}) {
    graft::Json& list = out[better ? "better" : "worse"] = graft::Json::array();
    for (const std::size_t i : most_changed(before, after, better))
      list.push_back({{"question", questions[i].text}, {"before", before.ndcg[i]}, {"after", after.ndcg[i]}});
  }
  return out;
}
