#include "query_side.hpp"

#include <cstdio>
#include <filesystem>
#include <unordered_map>

#include "encoder_training.hpp"
#include "graft/core/output.hpp"
#include "graft/core/usage.hpp"
#include "graft/retrieval/exact.hpp"
#include "graft/retrieval/query_encoders.hpp"
#include "graft/training/interrupt.hpp"
#include "models.hpp"
#include "progress.hpp"
#include "store.hpp"

namespace {

/// Pairs of a question's row and the row of the vector that answers it: of each right document the passage nearest to
/// the question. `first` is the row of the first question.
std::vector<graft::AnsweredQuestion> pairs_of(std::span<const graft::StoreQuestion> questions, std::size_t first,
                                              const StoredVectors& stored, std::span<const float> vectors) {
  std::unordered_map<graft::DocumentId, std::vector<std::size_t>> rows;
  for (std::size_t row = 0; row < stored.documents.size(); ++row) rows[stored.documents[row]].push_back(row);
  const auto width = static_cast<std::size_t>(stored.space.width);
  std::vector<graft::AnsweredQuestion> out;
  for (std::size_t q = 0; q < questions.size(); ++q)
    for (const graft::DocumentId document : questions[q].right) {
      const auto found = rows.find(document);
      if (found == rows.end()) continue;  // it has no vector of this model
      std::size_t best = found->second[0];
      if (found->second.size() > 1) {
        graft::ExactIndex index(stored.space, {.threads = 1});
        for (const std::size_t row : found->second)
          index.add(std::vector{static_cast<graft::PassageId>(row)},
                    std::span(stored.numbers).subspan(row * width, width));
        best = static_cast<std::size_t>(index.search(vectors.subspan((first + q) * width, width), 1)[0][0].id);
      }
      out.push_back({first + q, best});
    }
  return out;
}

/// Reads the model's vectors of the store, and makes those of the questions. False if a signal came meanwhile.
bool load_vectors(graft::Snapshot& snapshot, QuerySide& side) {
  const FinetuneOptions& options = side.options;
  std::vector<std::string> texts;
  for (const auto* part : {&side.data.training, &side.data.held_out})
    for (const graft::StoreQuestion& question : part->questions) texts.push_back(question.text);
  ProgressLine line;
  std::size_t embedded = 0;
  const graft::Embedder embedder(side.directory, {.progress = [&](std::int64_t count, std::int64_t) {
                                   embedded += static_cast<std::size_t>(count);
                                   line.show(static_cast<double>(embedded) / static_cast<double>(texts.size()),
                                             graft::message(embedded, " questions embedded"));
                                 }});
  if (!options.model.empty()) note_model(embedder.space().model, side.directory);
  side.stored = read_vectors(snapshot, embedder.space());
  if (side.stored.passages.empty())
    throw graft::OptionError(graft::message("the store ", graft::quoted(options.store),
                                            " has no vectors of the model in ", graft::quoted(side.directory),
                                            "; index the documents with it, or name the model "
                                            "that they were indexed with"));
  const torch::Tensor vectors = embedder.embed(texts, embedder.query_prompt());
  side.vectors.assign(vectors.const_data_ptr<float>(), vectors.const_data_ptr<float>() + vectors.numel());
  line.clear();
  side.training = pairs_of(side.data.training.questions, 0, side.stored, side.vectors);
  side.held_out =
      pairs_of(side.data.held_out.questions, side.data.training.questions.size(), side.stored, side.vectors);
  return !side.stop->load();
}

graft::Json weights_json(const graft::JoinWeights& weights) {
  return {{"vector", weights.vector}, {"word", weights.word}, {"rank_constant", weights.rank_constant}};
}

/// Lets the store know the weights of both joins, and what was trained, if it has a name.
void note_in_store(graft::Store& store, const graft::VectorSpace& space, const graft::JoinResult& plain,
                   const std::string& fingerprint, const graft::JoinResult& trained) {
  const auto writer = store.write();
  graft::put_query_encoder(*writer, space, {"", plain.weights});
  if (!fingerprint.empty()) graft::put_query_encoder(*writer, space, {fingerprint, trained.weights});
  writer->commit();
}

/// Throws unless a map may be written there: where nothing is, or over another map.
void check_out_file(const FinetuneOptions& options) {
  const std::string name = graft::message("--out ", graft::quoted(options.out));
  if (std::filesystem::is_directory(options.out))
    throw graft::OptionError(graft::message(name, " is a directory; name a file"));
  if (!std::filesystem::exists(options.out)) return;
  if (!options.overwrite)
    throw graft::OptionError(graft::message(name, " is there already; give another --out, or --overwrite"));
  try {
    graft::QueryMap::load(options.out);
  } catch (const graft::FormatError& error) {
    throw graft::OptionError(graft::message(name, " is no map of questions and is not replaced: ", error.what()));
  }
}

std::int64_t bytes_at(const std::filesystem::path& path) {
  return std::filesystem::is_directory(path) ? graft::bytes_on_disk(path)
                                             : static_cast<std::int64_t>(std::filesystem::file_size(path));
}

/// How the held-out questions are answered.
struct Quality {
  std::vector<Judged> all;
  graft::JoinResult plain_join, trained_join;
};

Quality judge(graft::Snapshot& snapshot, const QuerySide& side, const TrainedSide& trained) {
  graft::ExactIndex index(side.stored.space, {.threads = side.options.threads});
  index.add(side.stored.passages, side.stored.numbers);
  const auto& questions = side.data.held_out.questions;
  const auto plain = rank(snapshot, side.stored, index, questions, side.held_out_vectors());
  const auto after = rank(snapshot, side.stored, index, questions, trained.held_out);
  const graft::JoinResult plain_join = graft::learn_join(plain), join = graft::learn_join(after);
  const std::string& name = trained.name;
  return {{judge_words("by word", plain), judge_vectors("by vector, without the " + name, plain),
           judge_vectors("by vector, with the " + name, after),
           judge_joined("joined equally, without the " + name, plain, {}),
           judge_joined("joined equally, with the " + name, after, {}),
           judge_joined("joined by learned weights, without", plain, plain_join.weights),
           judge_joined("joined by learned weights, with", after, join.weights)},
          plain_join,
          join};
}

void print_json(const QuerySide& side, const TrainedSide& trained, const Quality& quality,
                const std::string& fingerprint) {
  graft::Json list = graft::Json::array();
  for (const Judged& judged : quality.all) list.push_back(json_of(judged));
  const auto& questions = side.data.held_out.questions;
  const bool written = !fingerprint.empty();
  graft::Json report = {
      {"model", side.stored.space.model},
      {"questions", side.data.training.questions.size()},
      {"held_out", questions.size()},
      {"left_out", side.data.training.left_out + side.data.held_out.left_out},
      {"bad_rows", side.data.bad_rows},
      {"leaking_rows", side.data.leaking_rows},
      {"stored_vectors", side.stored.passages.size()},
      {"seconds", trained.seconds},
      {"trained_parameters", trained.parameters},
      {"written", written ? graft::Json(side.options.out) : graft::Json()},
      {"saved_bytes", written ? bytes_at(side.options.out) : 0},
      {"fingerprint", written ? graft::Json(fingerprint) : graft::Json()},
      {"quality", list},
      {"join",
       {{"without", weights_json(quality.plain_join.weights)}, {"with", weights_json(quality.trained_join.weights)}}},
      {"by_vector", changes_json(questions, quality.all[1], quality.all[2])},
      {"joined", changes_json(questions, quality.all[3], quality.all[6])}};
  report.update(trained.report);
  std::printf("%s\n", report.dump(2).c_str());
}

void print_text(const QuerySide& side, const TrainedSide& trained, const Quality& quality,
                const std::string& fingerprint) {
  const auto& questions = side.data.held_out.questions;
  const FinetuneOptions& options = side.options;
  std::printf(
      "%zu questions trained on, %zu held out; %zu stored vectors\n%s\ntrained %zu numbers in %.1f s\n\n"
      "On the held-out questions, which chose epoch, blend and weights; rag eval judges by others:\n",
      side.data.training.questions.size(), questions.size(), side.stored.passages.size(), trained.said.c_str(),
      trained.parameters, trained.seconds);
  print_table(quality.all);
  std::printf("\n");
  print_changes(questions, quality.all[1], quality.all[2]);
  print_changes(questions, quality.all[3], quality.all[6]);
  if (fingerprint.empty())
    std::printf("\nno %s did better on the held-out questions than none; nothing was written\n", trained.name.c_str());
  else
    std::printf(
        "\nwritten: %s, %lld bytes, %s; the store knows it:\n"
        "  rag search \"...\" --store %s --query-adapter %s\n",
        options.out.c_str(), static_cast<long long>(bytes_at(options.out)), fingerprint.c_str(), options.store.c_str(),
        options.out.c_str());
}

}  // namespace

int run_query_side(const FinetuneOptions& options) {
  const graft::InterruptFlag interrupt;
  const bool is_map = options.method == Method::map;
  if (is_map) check_out_file(options);
  const auto store = open_store(options.store, false);
  QuerySide side{.options = options, .directory = model_of(*store, options.model)};
  if (!is_map) check_out_directory(options, side.directory);
  side.stop = &interrupt.flag();
  const auto snapshot = store->read();
  side.data = read_data(*snapshot, options);
  print_left_out(side.data);
  if (!load_vectors(*snapshot, side)) return 130;

  const TrainedSide trained = is_map ? train_map(side) : train_adapter(side);
  if (trained.stopped) {
    std::fprintf(stderr, "retriever_finetune: stopped; nothing was written\n");
    return 130;
  }
  const Quality quality = judge(*snapshot, side, trained);
  const std::string fingerprint = trained.helps ? trained.save() : "";
  note_in_store(*store, side.stored.space, quality.plain_join, fingerprint, quality.trained_join);
  (options.json ? print_json : print_text)(side, trained, quality, fingerprint);
  return 0;
}
