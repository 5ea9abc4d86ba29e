#pragma once

// The model, as it comes and as it was saved.

#include <string>
#include <vector>

#include "graft/models/heads.hpp"
#include "graft/models/load.hpp"
#include "graft/training/labelled_texts.hpp"

using Classifier = graft::BertForSequenceClassification;

/// A pretrained model with a head for `labels`. Says on standard output which weights its directory lacks.
graft::Pretrained<Classifier> load_to_train(const std::string& model, const std::vector<std::string>& labels,
                                            const std::string& dtype);

/// What was saved, as a classifier: a model, or a model and its adapter.
Classifier load_trained(const std::string& model, const std::string& adapter, const std::string& dtype);

/// Reads what was saved (`model`, or `adapter` of that model) and asks it the same texts: what a user will load must be
/// what was trained. Says so on standard output, or throws StateError.
void check_saved(Classifier& trained, const std::string& model, const std::string& adapter, const std::string& dtype,
                 const graft::LabelledTexts& texts);
