#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"

namespace graft {

/// The names of a classifier's classes for the metadata of its adapter (SaveAdapterOptions::metadata): an adapter's
/// config has no place for them.
std::map<std::string, std::string> labels_metadata(const std::vector<std::string>& labels);

/// The names of the classes of the adapter in a directory: those saved with labels_metadata(), else LABEL_0, LABEL_1
/// and so on, as many as its head has rows. Throws FormatError if it has no classifier's head, or names another number
/// of classes, and as AdapterDir does.
std::vector<std::string> adapter_labels(const std::filesystem::path& adapter);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/peft/labels-inl.hpp"
#endif
