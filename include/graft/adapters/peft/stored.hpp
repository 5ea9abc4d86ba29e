#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/io/adapter_dir.hpp"

namespace graft {

/// One layer's adapter as a file holds it, without a model.
struct StoredLayer {
  enum class Kind { linear, embedding, convolution };

  std::string path;  ///< in the model that it was trained on
  Kind kind = Kind::linear;
  std::int64_t rank = 0;
  double scale = 1;              ///< what B A is multiplied by: alpha / r, or / sqrt(r)
  torch::Tensor A = {};          ///< shape by LowRank
  torch::Tensor B = {};          ///< shape by LowRank
  torch::Tensor bias = {};       ///< of B; undefined without lora_bias
  torch::Tensor magnitude = {};  ///< of DoRA, else undefined
  bool fan_in_fan_out = false;   ///< the base stores this weight [in, out]

  /// Rows and columns of B A as a matrix: [out, in], [dim, vocabulary], [out, in * kernel].
  std::int64_t rows() const { return B.size(0); }
  std::int64_t columns() const { return A.numel() / A.size(0); }

  /// scale B A as a matrix [rows, columns], in float32, or float64 where A is.
  torch::Tensor product() const;

  /// Throws FormatError if a weight of this shape is not the layer's.
  void check_fits(torch::IntArrayRef weight) const;

  /// `weight` of the base with the adapter in it: summed in float32 (float64 for float64), rounded once to the weight's
  /// type. Throws FormatError if the shapes do not fit, StateError if the result is not finite.
  torch::Tensor merged(const torch::Tensor& weight) const;
};

/// An adapter's directory with its weights in memory, without a model: what tools look at, merge and combine.
class StoredAdapter {
 public:
  /// Throws as AdapterDir does, and FormatError that lists every layer with half a pair, shapes that do not fit each
  /// other, a rank other than the config's, or parts that the config asks for and the file lacks.
  explicit StoredAdapter(const std::filesystem::path& directory);

  const std::filesystem::path& path() const { return files_.path(); }
  const AdapterConfig& config() const { return files_.config(); }
  const std::vector<StoredLayer>& layers() const { return layers_; }                        ///< sorted by path
  const std::map<std::string, std::string>& metadata() const { return files_.metadata(); }  ///< of the weights' file

  /// What is not of a layer's adapter: heads and biases, under their names in the base ("query.bias").
  const std::vector<std::pair<std::string, torch::Tensor>>& others() const { return others_; }

  /// Of AdapterDir, and keys of rank_pattern and alpha_pattern that are in vain.
  const std::vector<std::string>& warnings() const { return warnings_; }

  /// Layers, ranks, the Frobenius norms of A, B and scale B A, parameters; heads; the base. For people.
  std::string summary() const;

 private:
  AdapterDir files_;
  std::vector<std::string> warnings_;
  std::vector<StoredLayer> layers_;
  std::vector<std::pair<std::string, torch::Tensor>> others_;
};

namespace detail {

torch::ScalarType sum_type(const torch::Tensor& tensor);

/// |B A| without B A: the root of tr((B^T B)(A A^T)).
double product_norm(const StoredLayer& layer);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/peft/stored-inl.hpp"
#endif
