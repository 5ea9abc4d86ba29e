#pragma once

#include <concepts>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/core/mode.hpp"
#include "graft/io/safetensors.hpp"
#include "graft/tensor/dtype.hpp"

namespace graft {

/// Tensors by name, in order. The tensors are handles: a change to one is a change to the module's.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// Every parameter and every buffer of a module, named by its path: "encoder.layer.0.attention.self.query.weight".
NamedTensors named_tensors(const torch::nn::Module& module);

/// How names of a module and names of a file meet. Left empty, they must be the same set.
struct LoadOptions {
  /// The file's name for a tensor of the module.
  std::function<std::string(const std::string& name)> name_in_file = {};

  /// True for a tensor of the module that may lack in the file: it keeps its value and is reported.
  std::function<bool(const std::string& name)> may_lack = {};

  /// True for a name of the file that the module may leave unread: it is reported.
  std::function<bool(const std::string& name_in_file)> may_ignore = {};
};

/// What load_tensors() did.
struct LoadReport {
  std::vector<std::string> loaded;   ///< names of the module
  std::vector<std::string> lacking;  ///< names of the module that kept their values, as may_lack allowed
  std::vector<std::string> ignored;  ///< names of the file that were left unread, as may_ignore allowed
};

/// Where tensors come from: a SafetensorsFile, a ModelDir, an AdapterDir, or whatever else has path(), tensors() and
/// read() as they do. What it was made from must outlive it.
class TensorSource {
 public:
  using Read = std::function<void(const TensorInfo& tensor, std::span<std::byte> bytes)>;

  TensorSource(std::filesystem::path path, std::vector<TensorInfo> tensors, Read read)
      : path_(std::move(path)), tensors_(std::move(tensors)), read_(std::move(read)) {}

  template <class Files>
  requires requires(const Files& files, const TensorInfo& tensor, std::span<std::byte> bytes) {
    { files.tensors() } -> std::convertible_to<std::vector<TensorInfo>>;
    files.read(tensor, bytes);
  }
  TensorSource(const Files& files)
      : TensorSource(files.path(), files.tensors(),
                     [&files](const TensorInfo& tensor, std::span<std::byte> bytes) { files.read(tensor, bytes); }) {}

  const std::filesystem::path& path() const { return path_; }  ///< for errors
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  void read(const TensorInfo& tensor, std::span<std::byte> bytes) const { read_(tensor, bytes); }

 private:
  std::filesystem::path path_;
  std::vector<TensorInfo> tensors_;
  Read read_;
};

/// Copies tensors of `source` into `targets`, each in its own type and on its own device (see convertible()).
///
/// Throws FormatError if a name lacks, is left over, has another shape or a type that does not convert: every such name
/// is listed, none is changed. A read that fails changes none either: all is read before the first is written, so that
/// loading takes the source's size in memory once more.
LoadReport load_tensors(const NamedTensors& targets, const TensorSource& source, const LoadOptions& options = {});

/// The same for every parameter and buffer of a module.
LoadReport load_state(torch::nn::Module& module, const TensorSource& source, const LoadOptions& options = {});

/// Writes tensors as they are, whatever their device; the file appears whole or not at all. Tensors that share storage
/// are written one by one. Throws OptionError for a type that files cannot hold or a name given twice.
void save_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                  const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

namespace detail {

/// load_tensors() for targets that are the caller's alone: it takes the memory of one tensor, not of all, and a call
/// that fails leaves them half read.
LoadReport fill_tensors(const NamedTensors& targets, const TensorSource& source, const LoadOptions& options);

/// What load_tensors() would do, without reading; throws as it does.
LoadReport plan_load(const NamedTensors& targets, const TensorSource& source, const LoadOptions& options);

/// Adds a line of names under a title to `text`; at most 100, so that a wrong file does not flood a log.
void list_faults(std::string& text, std::string_view title, const std::vector<std::string>& names);

std::span<std::byte> bytes_of(const torch::Tensor& tensor);

}  // namespace detail
}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/state-inl.hpp"
#endif
