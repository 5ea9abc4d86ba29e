#pragma once

#include <string>
#include <vector>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"

// What the outputs of a classifier mean, in a config.json.

namespace graft::detail {

/// The labels in the order of their ids, from id2label, label2id or num_labels, which must not contradict each other.
std::vector<std::string> read_labels(const JsonFields& fields);
void write_labels(const std::vector<std::string>& labels, Json& json);

/// What is wrong with a list of labels, or nothing.
std::string labels_fault(std::vector<std::string> labels);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/models/detail/label_fields-inl.hpp"
#endif
