// Looks at adapters in PEFT's format and works with them, without the model's code:
//   adapter_tool inspect adapter
//   adapter_tool merge base adapter --out merged
//   adapter_tool combine a b --weights 0.7 0.3 --method cat --out both
//   adapter_tool compress adapter --energy 0.95 --out small
//   adapter_tool diff a b
//   adapter_tool convert adapter --dtype bfloat16 --out half

#include <cstdint>
#include <exception>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "cli.hpp"
#include "graft/adapters/peft/combine.hpp"
#include "graft/adapters/peft/merge_dir.hpp"
#include "graft/adapters/peft/stored.hpp"
#include "graft/core/output.hpp"

namespace {

using Path = std::filesystem::path;

void inspect(const Path& adapter) { std::cout << graft::StoredAdapter(adapter).summary(); }

void merge(const Path& base, const Path& adapter, const Path& out, const graft::MergeDirOptions& options) {
  const graft::MergeDirReport report = graft::merge_dir(base, adapter, out, options);
  for (const std::string& warning : report.warnings) std::cerr << "warning: " << warning << '\n';
  std::cout << "merged into " << report.merged.size() << " tensors of the base\n";
  for (const std::string& name : report.replaced) std::cout << "replaced " << name << '\n';
  for (const std::string& name : report.added) std::cout << "added " << name << '\n';
  std::cout << "written to " << out.native() << '\n';
}

struct CombineSettings {
  std::string method = "cat";
  std::vector<double> weights = {};
  double density = 0.5;
  std::int64_t rank = 0;
  std::uint64_t seed = 0;
};

graft::Mix mix_of(const std::string& name, double density) {
  if (name == "ties") return graft::mix_ties(density);
  if (name == "magnitude_prune") return graft::mix_magnitude_prune(density);
  if (name == "dare_linear") return graft::mix_dare_linear(density);
  if (name == "dare_ties") return graft::mix_dare_ties(density);
  return graft::mix_linear();
}

void combine(const std::vector<Path>& directories, CombineSettings settings, const Path& out, bool replace) {
  std::vector<graft::StoredAdapter> stored;
  for (const Path& directory : directories) stored.emplace_back(directory);
  std::vector<const graft::StoredAdapter*> adapters;
  for (const graft::StoredAdapter& adapter : stored) {
    adapters.push_back(&adapter);
    for (const auto& [name, tensor] : adapter.others()) {
      std::cerr << "left out: " << name << " of " << adapter.path().native() << '\n';
    }
  }
  if (settings.weights.empty()) settings.weights.assign(adapters.size(), 1.0 / static_cast<double>(adapters.size()));
  torch::manual_seed(settings.seed);
  const std::string& method = settings.method;
  const bool of_updates = method.ends_with("svd");
  const std::string mix = of_updates && method != "svd" ? method.substr(0, method.size() - 4) : method;
  const graft::ComputedAdapter result =
      method == "cat" ? graft::combine_cat(adapters, settings.weights)
      : of_updates    ? graft::combine_updates(adapters, settings.weights, mix_of(mix, settings.density), settings.rank)
                      : graft::combine_factors(adapters, settings.weights, mix_of(mix, settings.density));
  graft::write_adapter(out, result, {}, replace);
  std::cout << "combined " << adapters.size() << " adapters, " << result.layers.size() << " layers, rank "
            << result.config.r << ", written to " << out.native() << '\n';
}

void compress(const Path& directory, double energy, const Path& out, bool replace) {
  const graft::StoredAdapter adapter(directory);
  const graft::ComputedAdapter result = graft::compress(adapter, energy);
  graft::write_adapter(out, result, adapter.others(), replace);
  std::int64_t before = 0, after = 0;
  for (const graft::StoredLayer& layer : adapter.layers()) before += layer.A.numel() + layer.B.numel();
  for (const graft::StoredLayer& layer : result.layers) after += layer.A.numel() + layer.B.numel();
  std::cout << "parameters of the layers " << before << " -> " << after << ", largest rank " << result.config.r
            << ", written to " << out.native() << '\n';
}

void diff(const Path& a, const Path& b) {
  const auto layers = graft::difference(graft::StoredAdapter(a), graft::StoredAdapter(b));
  std::size_t width = 5;
  for (const auto& layer : layers) width = std::max(width, layer.path.size());
  std::cout << std::left << std::setw(static_cast<int>(width)) << "layer" << std::right << std::setw(11) << "|a|"
            << std::setw(11) << "|b|" << std::setw(11) << "|a - b|" << std::setw(11) << "cosine"
            << "  largest singular values of a - b\n"
            << std::setprecision(4);
  for (const auto& layer : layers) {
    std::cout << std::left << std::setw(static_cast<int>(width)) << layer.path << std::right << std::setw(11)
              << layer.norm_a << std::setw(11) << layer.norm_b << std::setw(11) << layer.difference << std::setw(11)
              << layer.cosine << ' ';
    for (std::size_t i = 0; i < std::min<std::size_t>(layer.spectrum.size(), 4); ++i) {
      std::cout << ' ' << layer.spectrum[i];
    }
    std::cout << '\n';
  }
}

void convert(const Path& directory, const std::string& type, const Path& out, bool replace) {
  static const std::map<std::string, torch::ScalarType> types = {
      {"float32", torch::kFloat32}, {"float16", torch::kFloat16}, {"bfloat16", torch::kBFloat16}};
  const graft::StoredAdapter adapter(directory);
  const auto [result, others] = graft::convert(adapter, types.at(type));
  graft::write_adapter(out, result, others, replace);
  std::cout << "converted to " << type << ", written to " << out.native() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Looks at adapters in PEFT's format and works with them.");
  app.require_subcommand(1);
  Path base, adapter, other, out;
  std::vector<Path> adapters;
  std::string type;
  graft::MergeDirOptions options;
  CombineSettings settings;
  double energy = 0.95;

  const auto takes = [&](CLI::App* command, const char* name, Path& path) {
    command->add_option(name, path, "Directory with adapter_config.json and adapter_model.safetensors")->required();
  };
  const auto writes = [&](CLI::App* command) {
    command->add_option("--out", out, "Directory to write")->required();
    command->add_flag("--overwrite", options.replace, "Replace what an earlier run wrote there, nothing else");
  };

  CLI::App* look = app.add_subcommand("inspect", "Print layers, ranks, norms, parameters and base of an adapter");
  takes(look, "adapter", adapter);

  CLI::App* fold = app.add_subcommand("merge", "Write a model with an adapter in its weights, tensor by tensor");
  fold->add_option("base", base, "Directory of the model: config.json and safetensors files")->required();
  takes(fold, "adapter", adapter);
  writes(fold);
  fold->add_option("--shard-bytes", options.shard_bytes, "Cut weights above this into several files")
      ->check(whole_number(1))
      ->capture_default_str();

  CLI::App* join = app.add_subcommand("combine", "Make one adapter of several, as PEFT's add_weighted_adapter does");
  join->add_option("adapters", adapters, "Directories of adapters")->required();
  writes(join);
  join->add_option("--method", settings.method, "How")
      ->check(CLI::IsMember({"linear", "cat", "svd", "ties", "ties_svd", "dare_linear", "dare_linear_svd", "dare_ties",
                             "dare_ties_svd", "magnitude_prune", "magnitude_prune_svd"}))
      ->capture_default_str();
  join->add_option("--weights", settings.weights, "A factor for each adapter; equal parts if not given");
  join->add_option("--density", settings.density, "Share of values kept by ties, dare and magnitude_prune")
      ->check(number(0, 1, /*above=*/true))
      ->capture_default_str();
  join->add_option("--rank", settings.rank, "Of the result by svd; 0: the largest of the adapters")
      ->check(whole_number(0))
      ->capture_default_str();
  join->add_option("--seed", settings.seed, "For dare")->capture_default_str();

  CLI::App* cut = app.add_subcommand("compress", "Lower the ranks of an adapter, keeping a share of its energy");
  takes(cut, "adapter", adapter);
  writes(cut);
  cut->add_option("--energy", energy, "Share of the squared singular values to keep")
      ->check(number(0, 1, /*above=*/true))
      ->capture_default_str();

  CLI::App* compare = app.add_subcommand("diff", "Print by layer how two adapters differ");
  takes(compare, "a", adapter);
  takes(compare, "b", other);

  CLI::App* change = app.add_subcommand("convert", "Write an adapter in another number format");
  takes(change, "adapter", adapter);
  writes(change);
  change->add_option("--dtype", type, "Number format")
      ->required()
      ->check(CLI::IsMember({"float32", "float16", "bfloat16"}));
  return run_cli("adapter_tool", app, argc, argv, [&] {
    for (const Path& input : {base, adapter, other}) graft::check_output_apart(out, {input});
    graft::check_output_apart(out, adapters);
    if (!out.empty()) graft::OutputDirectory(out, options.replace);
    if (*look) inspect(adapter);
    if (*fold) merge(base, adapter, out, options);
    if (*join) combine(adapters, settings, out, options.replace);
    if (*cut) compress(adapter, energy, out, options.replace);
    if (*compare) diff(adapter, other);
    if (*change) convert(adapter, type, out, options.replace);
    return 0;
  });
}
