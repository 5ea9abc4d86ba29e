#include "graft/io/safetensors.hpp"

#include <vector>

#include "fuzz/fuzz.hpp"

namespace graft::fuzzing::safetensors {

namespace {

std::vector<std::byte> bytes_of(const SafetensorsFile& file, const TensorInfo& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  file.read(tensor, bytes);
  return bytes;
}

}  // namespace

/// A safetensors file: its tensors and metadata come back from the file that write_safetensors() makes of them.
void fuzz(std::string_view input) {
  const SafetensorsFile file(file_of(input, "input.safetensors"));
  const std::vector<TensorInfo>& tensors = file.tensors();
  for (const TensorInfo& tensor : tensors) {
    check(tensor.begin <= tensor.end && tensor.end <= input.size(), "a tensor lies outside the file");
    check(file.find(tensor.name) == &tensor, "a tensor is not found by its name");
  }
  const SafetensorsFile written = must("a file that was read cannot be written", [&] {
    std::vector<std::byte> held;
    write_safetensors(folder() / "written.safetensors", tensors, file.metadata(), [&](std::size_t i) {
      held = bytes_of(file, tensors[i]);
      return std::span<const std::byte>(held);
    });
    return SafetensorsFile(folder() / "written.safetensors");
  });
  check(written.tensors().size() == tensors.size(), "a tensor is lost or added by writing");
  check(written.metadata() == file.metadata(), "metadata are others after writing");
  for (const TensorInfo& tensor : tensors) {
    const TensorInfo* other = written.find(tensor.name);
    check(other && other->type == tensor.type && other->shape == tensor.shape, "a tensor has another shape or type");
    check(bytes_of(written, *other) == bytes_of(file, tensor), "a tensor has other bytes");
  }
}

}  // namespace graft::fuzzing::safetensors
