#include "classifier.hpp"

#include <cstdio>

#include "graft/adapters/peft/labels.hpp"
#include "graft/adapters/peft/save.hpp"

namespace {

/// Of weights and activations. What is trained in bfloat16 has float32 masters in the optimizer.
torch::ScalarType scalar_type(const std::string& dtype) {
  return dtype == "bfloat16" ? torch::kBFloat16 : torch::kFloat32;
}

}  // namespace

graft::Pretrained<Classifier> load_to_train(const std::string& model, const std::vector<std::string>& labels,
                                            const std::string& dtype) {
  auto loaded = graft::load_pretrained<Classifier>(model, {.dtype = scalar_type(dtype), .labels = labels});
  for (const std::string& name : loaded.report.lacking)
    std::printf("not in %s, drawn afresh: %s\n", model.c_str(), name.c_str());
  return loaded;
}

Classifier load_trained(const std::string& model, const std::string& adapter, const std::string& dtype) {
  graft::PretrainedOptions options{.dtype = scalar_type(dtype)};
  if (!adapter.empty()) options.labels = graft::adapter_labels(adapter);
  auto [classifier, report] = graft::load_pretrained<Classifier>(model, options);
  if (!adapter.empty()) {
    for (const std::string& warning : graft::load_adapter(adapter, *classifier).warnings)
      std::fprintf(stderr, "warning: %s\n", warning.c_str());
  } else if (!report.lacking.empty()) {
    throw graft::FormatError(graft::message(model, ": has no ", report.lacking.front(),
                                            "; it is a base model: fine-tune it first, or name an --adapter"));
  }
  classifier->eval();
  return classifier;
}

void check_saved(Classifier& trained, const std::string& model, const std::string& adapter, const std::string& dtype,
                 const graft::LabelledTexts& texts) {
  const std::string& where = adapter.empty() ? model : adapter;
  Classifier saved = load_trained(model, adapter, dtype);
  const std::int64_t asked = graft::check_read_back(trained, saved, texts, where);
  std::printf("saved in %s; read back, it gives the same answers to %lld texts\n", where.c_str(),
              static_cast<long long>(asked));
}
