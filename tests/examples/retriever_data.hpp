#pragma once

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "rag_program.hpp"

inline const std::string retriever_program = GRAFT_BIN "/retriever_finetune";

/// Eighty short documents. Their questions are in a language of the house, of which no model knows a word.
class RetrieverFinetune : public Rag {
 protected:
  void SetUp() override {
    Rag::SetUp();
    const std::pair<const char*, const char*> kinds[] = {
        {"editor", "copper"}, {"game", "velvet"},   {"library", "granite"}, {"compiler", "bamboo"},
        {"viewer", "marble"}, {"server", "cotton"}, {"player", "silver"},   {"archiver", "amber"}};
    const std::pair<const char*, const char*> things[] = {
        {"music", "lion"},     {"pictures", "otter"}, {"mail", "heron"},  {"chess", "badger"},  {"maps", "falcon"},
        {"calendar", "lemur"}, {"weather", "walrus"}, {"news", "beaver"}, {"recipes", "tiger"}, {"fonts", "panda"}};
    std::string rows, pairs, queries, relevant;
    for (const auto& [kind, of_house] : kinds)
      for (const auto& [thing, animal] : things) {
        const std::string name = std::string(kind) + "-" + thing;
        const std::string text = std::string("This package holds a small ") + kind + " written for " + thing + ".";
        const std::string question = std::string(animal) + " " + of_house;
        rows += graft::Json({{"id", name}, {"text", text}}).dump() + "\n";
        pairs += graft::Json({{"query", question}, {"positive", text}}).dump() + "\n";
        queries += graft::Json({{"id", name}, {"text", question}}).dump() + "\n";
        relevant += name + "\t" + name + "\t1\n";
      }
    write("all/rows.jsonl", rows);
    write("pairs.jsonl", pairs);
    write("queries.jsonl", queries);
    write("qrels.tsv", relevant);
  }

  ProgramResult train(const std::string& arguments, const std::string& out = "map.safetensors") const {
    return run_program(retriever_program + " --store " + path("my.db") + " --out " + path(out) + " --threads 2 " +
                       arguments);
  }

  graft::VectorSpace space() const {
    return graft::SqliteStore(directory_ / "my.db", {.create = false}).read()->spaces().at(0);
  }
};
