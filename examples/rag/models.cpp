#include "models.hpp"

#include <cstdio>
#include <cstdlib>
#include <optional>

#include "graft/core/file.hpp"
#include "graft/core/output.hpp"

namespace {

std::optional<std::filesystem::path> model_note(const std::string& fingerprint) {
  // The fingerprint may come from a store of a stranger.
  constexpr auto* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  if (fingerprint.empty() || fingerprint.size() > 200 || fingerprint.find_first_not_of(plain) != std::string::npos)
    return std::nullopt;
  const std::filesystem::path end = std::filesystem::path("graft") / "models" / fingerprint;
  if (const char* data = std::getenv("XDG_DATA_HOME"); data && *data == '/') return data / end;
  if (const char* home = std::getenv("HOME"); home && *home == '/')
    return std::filesystem::path(home) / ".local" / "share" / end;
  return std::nullopt;
}

std::optional<std::filesystem::path> noted_model(const std::string& fingerprint) {
  const auto note = model_note(fingerprint);
  if (!note || !std::filesystem::exists(*note)) return std::nullopt;
  return graft::read_file(*note, 1 << 16);
}

}  // namespace

void note_model(const std::string& fingerprint, const std::filesystem::path& model) {
  try {
    const auto note = model_note(fingerprint);
    const std::string path = std::filesystem::canonical(model).string();
    if (!note || noted_model(fingerprint) == path) return;
    std::filesystem::create_directories(note->parent_path());
    graft::write_file(*note, path);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rag: cannot remember where the model is (%s); name it with --model next time\n",
                 error.what());
  }
}

std::string model_of(graft::Store& store, const std::string& given) {
  if (!given.empty()) return given;
  std::string model;
  for (const graft::VectorSpace& space : store.read()->spaces())
    if (const auto noted = noted_model(space.model)) {
      if (!model.empty())
        throw graft::OptionError(graft::message("the store ", graft::quoted(store.name()),
                                                " has vectors of several models; choose one with --model"));
      model = noted->string();
    }
  if (model.empty())
    throw graft::OptionError(graft::message("no model is known for the store ", graft::quoted(store.name()),
                                            "; name its directory with --model"));
  if (!std::filesystem::exists(model))
    throw graft::OptionError(graft::message("the model of the store ", graft::quoted(store.name()), " was in ",
                                            graft::quoted(model), ", which is gone; name its directory with --model"));
  return model;
}
