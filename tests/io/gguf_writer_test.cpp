#include "graft/io/gguf_writer.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "graft/core/file.hpp"
#include "graft/core/output.hpp"
#include "graft/io/gguf.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft::gguf_writer_test {
namespace {

const std::vector<float> numbers{1.5f, -2.0f, 3.0f, 4.0f, 5.0f, 1e30f};
const std::vector<std::uint16_t> halves{0x3C00, 0xC000, 0x7BFF};  // 1, -2, 65504

std::vector<GgufTensorBytes> two_tensors() {
  return {{"second", GgufType::F32, {2, 3}, std::as_bytes(std::span(numbers))},
          {"first", GgufType::F16, {3}, std::as_bytes(std::span(halves))}};
}

TEST(GgufWriter, WhatItWritesIsReadBack) {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory / "f.gguf";
  const std::map<std::string, GgufMetadataValue> metadata{{"general.type", std::string("adapter")},
                                                          {"a.flag", true},
                                                          {"a.count", std::uint32_t{7}},
                                                          {"a.number", 0.25f},
                                                          {"a.names", std::vector<std::string>{"x", "", "\u00E9"}}};
  write_gguf(path, metadata, two_tensors());
  const GgufFile file(path);
  const GgufMetadata& data = file.metadata();
  EXPECT_EQ(data.keys().size(), 5u);
  EXPECT_EQ(data.text("general.type"), "adapter");
  EXPECT_TRUE(data.boolean("a.flag"));
  EXPECT_EQ(data.integer("a.count", 0, 10), 7);
  EXPECT_EQ(data.number("a.number", 0, 1), 0.25);
  EXPECT_EQ(data.texts("a.names"), (std::vector<std::string_view>{"x", "", "\u00E9"}));
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].name, "second");
  EXPECT_EQ(file.tensor("second").shape, (std::vector<std::int64_t>{2, 3}));
  std::vector<float> read(6);
  file.read_float32(file.tensor("second"), read);
  EXPECT_EQ(read, numbers);
  EXPECT_EQ(file.tensor("first").begin % 32, 0u);
  read.resize(3);
  file.read_float32(file.tensor("first"), read);
  EXPECT_EQ(read, (std::vector<float>{1.0f, -2.0f, 65504.0f}));
  EXPECT_EQ(read_file(path, 1 << 20).size() % 32, 0u) << "the last tensor is padded too, as llama.cpp wants it";
}

TEST(GgufWriter, AFileWithoutTensorsIsOneToo) {
  const TemporaryDirectory directory;
  write_gguf(directory / "f.gguf", {}, {});
  EXPECT_TRUE(GgufFile(directory / "f.gguf").tensors().empty());
}

TEST(GgufWriter, WhatCannotBeIsNamedAndNothingIsWritten) {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory / "f.gguf";
  write_file(path, "as it was");
  const auto bytes = std::as_bytes(std::span(numbers));
  const std::string long_name(64, 'n');
  using Tensors = std::vector<GgufTensorBytes>;
  const struct {
    std::map<std::string, GgufMetadataValue> metadata;
    Tensors tensors;
    std::string says;
  } rows[] = {
      {{{"", true}}, {}, "a key of a GGUF file's metadata is empty"},
      {{{"general.alignment", std::uint32_t{8}}}, {}, "\"general.alignment\" is for the writer"},
      {{}, {{"", GgufType::F32, {6}, bytes}}, "tensor \"\": the name is empty"},
      {{}, {{"a\nb", GgufType::F32, {6}, bytes}}, "the name holds a control character"},
      {{}, {{long_name, GgufType::F32, {6}, bytes}}, "the name has 64 bytes, more than 63"},
      {{}, {{"t", GgufType::F32, {1, 1, 1, 1, 6}, bytes}}, "tensor \"t\": has 5 dimensions, a GGUF tensor at most 4"},
      {{}, {{"t", GgufType::F32, {6, 0}, {}}}, "has a size of 0; choose 1 or more"},
      {{}, {{"t", GgufType::F32, {6, -1}, bytes}}, "has a size of -1"},
      {{}, {{"t", GgufType::F32, {5}, bytes}}, "is given 24 bytes, its shape asks for 20"},
      {{}, {{"t", GgufType::Q8_0, {6}, bytes}}, "rows of 6 are no whole number of Q8_0 blocks, which hold 32"},
      {{},
       {{"t", GgufType::F32, {std::numeric_limits<std::int64_t>::max(), 4}, bytes}},
       "tensor \"t\": number of elements"},
      {{}, {{"t", GgufType::F32, {6}, bytes}, {"t", GgufType::F32, {6}, bytes}}, "tensor \"t\" is there twice"},
  };
  for (const auto& row : rows) {
    const std::string error = error_message([&] { write_gguf(path, row.metadata, row.tensors); });
    EXPECT_NE(error.find(row.says), std::string::npos) << row.says << "\n" << error;
  }
  EXPECT_EQ(read_file(path, 100), "as it was");
  EXPECT_NE(error_message([&] { write_gguf(directory / "no" / "f.gguf", {}, {}); }).find("FileError"),
            std::string::npos);
}

}  // namespace
}  // namespace graft::gguf_writer_test
