#pragma once

// Which directory holds the model that a store was indexed with.
//
// A store names its model by fingerprint. Where that model lies on this machine is noted by fingerprint in
// $XDG_DATA_HOME/graft/models (~/.local/share/graft/models), whatever kind of store it is and whoever made it.
// A note can be lost: --model says it as well.

#include <filesystem>
#include <string>

#include "graft/retrieval/store.hpp"

/// Where a note cannot be written, later commands need --model: that is said, and no error.
void note_model(const std::string& fingerprint, const std::filesystem::path& model);

/// `given`, else the directory of the model whose vectors the store has. Throws OptionError if that is not known.
std::string model_of(graft::Store& store, const std::string& given);
