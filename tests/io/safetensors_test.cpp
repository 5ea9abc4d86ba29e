#include "graft/io/safetensors.hpp"
#include "graft/core/output.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "support/error_message.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft::safetensors_test {
namespace {

std::string little_endian(std::uint64_t value) {
  std::string bytes(8, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(value & 0xff);
    value >>= 8;
  }
  return bytes;
}

/// A file of that header and `data` bytes of data.
std::string file_of(std::string_view header, std::size_t data = 0) {
  return little_endian(header.size()).append(header).append(data, 'd');
}

std::string tensor(std::string_view name, std::string_view type, std::string_view shape, std::string_view offsets) {
  return message('"', name, R"(":{"dtype":)", type, R"(,"shape":)", shape, R"(,"data_offsets":)", offsets, '}');
}

/// What opening a file of that content says, with the path left out; "" if it is accepted.
std::string open_error(std::string_view content, const SafetensorsLimits& limits = {}) {
  const TemporaryDirectory directory;
  write_file(directory / "f", content);
  const std::string path = (directory / "f").string();
  const std::string error = error_message([&] { SafetensorsFile file(path, limits); });
  return error == "(no error)" ? "" : replaced(error, path, "f");
}

struct Row {
  const char* what;
  std::string content;
  std::string error;  // "" where the file is sound
};

std::vector<Row> malformed_files() {
  const std::string name_of_5000(5000, 'x');
  std::string ones = "[1";
  for (int i = 1; i < 65; ++i) ones += ",1";
  const auto one = [](std::string_view type, std::string_view shape, std::string_view offsets, std::size_t data) {
    return file_of("{" + tensor("a", type, shape, offsets) + "}", data);
  };
  const std::string sizes = ", but sizes are integers from 0 to 9223372036854775807";
  std::string overlapping = "{";
  for (int i = 0; i < 10; ++i)
    overlapping += (i ? "," : "") + tensor(std::string(1, char('a' + i)), "\"I32\"", "[2,2]", "[0,16]");
  return {
      {"empty", "", "FormatError: f: has 0 bytes; a safetensors file has at least 8; copy the file again"},
      {"7 bytes", "1234567", "FormatError: f: has 7 bytes; a safetensors file has at least 8; copy the file again"},
      {"a length and nothing after it", little_endian(60),
       "FormatError: f, byte 0: header claims 60 bytes, file has 8; it is cut short or no safetensors file"},
      {"a length of 2^64 - 1", little_endian(UINT64_MAX) + std::string(1016, ' '),
       "FormatError: f, byte 0: header claims 18446744073709551615 bytes, file has 1024; it is cut short or no "
       "safetensors file"},
      {"a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
       "FormatError: f: is not a safetensors file but seems a Git LFS pointer to one; fetch it with git lfs pull"},
      {"header not UTF-8", file_of("\xFF"),
       "FormatError: f, header, byte 0: not valid JSON: syntax error while parsing value - invalid literal"},
      {"header cut short", file_of("{"),
       "FormatError: f, header, byte 1: not valid JSON: syntax error while parsing object key - unexpected end of "
       "input; expected string literal"},
      {"no tensor, padded", file_of("{}  \t\r\n "), ""},
      {"space before the object", file_of("\t\n{}"), ""},
      {"NUL in the header", file_of(std::string("{}\0", 3)),
       "FormatError: f, header, byte 2: not valid JSON: a NUL byte"},
      {"byte order mark", file_of("\xEF\xBB\xBF{}"),
       "FormatError: f, header, byte 0: starts with a byte order mark; save it as UTF-8 without one"},
      {"an array", file_of("[]"), "FormatError: f, header: is an array of 0, but must be a JSON object"},
      {"null", file_of("null"), "FormatError: f, header: is null, but must be a JSON object"},
      {"a string", file_of("\"x\""), "FormatError: f, header: is \"x\", but must be a JSON object"},
      {"one name, two tensors",
       file_of("{" + tensor("a", "\"U8\"", "[2]", "[0,2]") + "," + tensor("a", "\"U8\"", "[2]", "[2,4]") + "}", 4),
       "FormatError: f, header: the key \"a\" is repeated in one object"},
      {"one tensor twice",
       file_of("{" + tensor("a", "\"U8\"", "[2]", "[0,2]") + "," + tensor("a", "\"U8\"", "[2]", "[0,2]") + "}", 2),
       "FormatError: f, header: the key \"a\" is repeated in one object"},
      {"dtype twice", file_of(R"({"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2),
       "FormatError: f, header: the key \"dtype\" is repeated in one object"},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})"),
       "FormatError: f, header: the key \"__metadata__\" is repeated in one object"},
      {"a number in the metadata", file_of(R"({"__metadata__":{"n":1}})"),
       "FormatError: f, header: \"__metadata__\": \"n\" is 1, but must be a string"},
      {"an object in the metadata", file_of(R"({"__metadata__":{"a":{"b":"c"}}})"),
       "FormatError: f, header: \"__metadata__\": \"a\" is an object, but must be a string"},
      {"metadata an array", file_of(R"({"__metadata__":[]})"),
       "FormatError: f, header: \"__metadata__\" is an array of 0, but must be an object"},
      {"metadata null", file_of(R"({"__metadata__":null})"), ""},
      {"metadata empty", file_of(R"({"__metadata__":{}})"), ""},
      {"dtype in lower case", one("\"f32\"", "[1]", "[0,4]", 4),
       "FormatError: f: tensor \"a\": \"dtype\" is \"f32\", but must be an element type such as \"F32\""},
      {"dtype unknown", one("\"BF8\"", "[4]", "[0,4]", 4),
       "FormatError: f: tensor \"a\": \"dtype\" is \"BF8\", but must be an element type such as \"F32\""},
      {"dtype a number", one("32", "[1]", "[0,4]", 4),
       "FormatError: f: tensor \"a\": \"dtype\" is 32, but must be a string"},
      {"a type few can use", one("\"F8_E4M3\"", "[4]", "[0,4]", 4), ""},
      {"negative size", one("\"U8\"", "[2,-2]", "[0,4]", 4),
       "FormatError: f: tensor \"a\": \"shape\" holds -2" + sizes},
      {"size 2.0", one("\"U8\"", "[2.0,2]", "[0,4]", 4), "FormatError: f: tensor \"a\": \"shape\" holds 2.0" + sizes},
      {"size a string", one("\"U8\"", "[\"2\",2]", "[0,4]", 4),
       "FormatError: f: tensor \"a\": \"shape\" holds \"2\"" + sizes},
      {"size 1e1", one("\"U8\"", "[1e1]", "[0,10]", 10), "FormatError: f: tensor \"a\": \"shape\" holds 10.0" + sizes},
      {"shape null", one("\"U8\"", "null", "[0,1]", 1),
       "FormatError: f: tensor \"a\": \"shape\" is null, but must be there"},
      {"shape a number", one("\"U8\"", "2", "[0,2]", 2),
       "FormatError: f: tensor \"a\": \"shape\" is 2, but must be an array of sizes"},
      {"product of sizes wraps to 4", one("\"I32\"", "[2,9223372036854775807,2]", "[0,16]", 16),
       "FormatError: f: tensor \"a\": number of elements: 18446744073709551614 x 2 is too large"},
      {"bits wrap to 0", one("\"I32\"", "[2,9223372036854775807]", "[0,16]", 16),
       "FormatError: f: tensor \"a\": number of bits: 18446744073709551614 x 32 is too large"},
      {"size 2^64 - 2", one("\"I32\"", "[2,18446744073709551614]", "[0,16]", 16),
       "FormatError: f: tensor \"a\": \"shape\" holds 18446744073709551614" + sizes},
      {"size 2^64", one("\"U8\"", "[18446744073709551616]", "[0,0]", 0),
       "FormatError: f: tensor \"a\": \"shape\" holds 1.8446744073709552e+19" + sizes},
      {"size 2^64 - 1 beside 0", one("\"U8\"", "[0,18446744073709551615]", "[0,0]", 0),
       "FormatError: f: tensor \"a\": \"shape\" holds 18446744073709551615" + sizes},
      {"an empty tensor", one("\"I32\"", "[2,0]", "[0,0]", 0), ""},
      {"a scalar", one("\"I32\"", "[]", "[0,4]", 4), ""},
      {"65 dimensions", one("\"U8\"", ones + "]", "[0,1]", 1),
       "FormatError: f: tensor \"a\": \"shape\" is an array of 65, but must be an array of at most 32 sizes"},
      {"one offset", one("\"U8\"", "[4]", "[0]", 4),
       "FormatError: f: tensor \"a\": \"data_offsets\" is an array of 1, but must be two integers, begin and end"},
      {"three offsets", one("\"U8\"", "[4]", "[0,4,8]", 4),
       "FormatError: f: tensor \"a\": \"data_offsets\" is an array of 3, but must be two integers, begin and end"},
      {"offsets swapped", one("\"U8\"", "[4]", "[4,0]", 4),
       "FormatError: f: tensor \"a\": begins at byte 4 of the data and ends at 0"},
      {"offset a string", one("\"U8\"", "[4]", "[0,\"4\"]", 4),
       "FormatError: f: tensor \"a\": \"data_offsets\" is an array of 2, but must be two integers, begin and end"},
      {"offsets past the file", one("\"U8\"", "[8]", "[0,8]", 4),
       "FormatError: f: tensor \"a\": ends at byte 8 of the data, but the file has only 4; copy the file again"},
      {"offsets near 2^64", one("\"U8\"", "[1]", "[18446744073709551614,18446744073709551615]", 4),
       "FormatError: f: tensor \"a\": ends at byte 18446744073709551615 of the data, but the file has only 4; copy the "
       "file again"},
      {"fewer bytes than the shape", one("\"F32\"", "[2,2]", "[0,15]", 15),
       "FormatError: f: tensor \"a\": F32 [2, 2] needs 16 bytes, has 15"},
      {"a hole between tensors",
       file_of("{" + tensor("a", "\"U8\"", "[4]", "[0,4]") + "," + tensor("b", "\"U8\"", "[4]", "[8,12]") + "}", 12),
       "FormatError: f: tensor \"b\": begins at byte 122 of the file, where 118 follows the tensor before; tensors "
       "must lie end to end"},
      {"a hole before the first tensor", one("\"U8\"", "[4]", "[4,8]", 8),
       "FormatError: f: tensor \"a\": begins at byte 65 of the file, where 61 follows the tensor before; tensors must "
       "lie end to end"},
      {"overlap", file_of(overlapping + "}", 16),
       "FormatError: f: tensor \"b\": begins at byte 569 of the file, where 585 follows the tensor before; tensors "
       "must lie end to end"},
      {"bytes after the last tensor", one("\"U8\"", "[4]", "[0,4]", 38),
       "FormatError: f: the tensors end at byte 65, the file at 99; what lies between belongs to no tensor"},
      {"bytes without a tensor", file_of("{}", 4),
       "FormatError: f: the tensors end at byte 10, the file at 14; what lies between belongs to no tensor"},
      {"2 bytes short", one("\"F32\"", "[2]", "[0,8]", 6),
       "FormatError: f: tensor \"a\": ends at byte 8 of the data, but the file has only 6; copy the file again"},
      {"half a byte of F4", one("\"F4\"", "[1,3]", "[0,2]", 2),
       "FormatError: f: tensor \"a\": 12 bits of F4 fill no whole number of bytes"},
      {"data at an odd address", file_of("{" + tensor("a", "\"F64\"", "[1]", "[0,8]") + "}  ", 8), ""},
      {"120 levels in an unknown key",
       file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":)" + std::string(120, '[') +
                   std::string(120, ']') + "}}",
               1),
       "FormatError: f, header: nested deeper than 8 levels"},
      {"100,000 levels", file_of(std::string(100000, '[')), "FormatError: f, header: nested deeper than 8 levels"},
      {"an unknown key", file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":[1]}})", 1), ""},
      {"an entry without dtype", file_of(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1),
       "FormatError: f: tensor \"a\": \"dtype\" is missing, but must be a string"},
      {"an entry that is no object", file_of(R"({"a":1})"),
       "FormatError: f: tensor \"a\": is 1, but must be a JSON object"},
      {"no name", file_of("{" + tensor("", "\"U8\"", "[1]", "[0,1]") + "}", 1),
       "FormatError: f: tensor \"\": the name is empty"},
      {"NUL in a name", file_of("{" + tensor("a\\u0000", "\"U8\"", "[1]", "[0,1]") + "}", 1),
       "FormatError: f: tensor \"a\\x00\": the name holds a control character"},
      {"a long name", file_of("{" + tensor(name_of_5000, "\"U8\"", "[1]", "[0,1]") + "}", 1),
       "FormatError: f: tensor \"" + std::string(120, 'x') + "...\": the name is longer than 4096 bytes"},
      {"lone surrogate in a name", file_of("{" + tensor("\\ud800", "\"U8\"", "[1]", "[0,1]") + "}", 1),
       "FormatError: f, header, byte 8: not valid JSON: syntax error while parsing object key - invalid string: "
       "surrogate "
       "U+D800..U+DBFF must be followed by U+DC00..U+DFFF"},
  };
}

TEST(SafetensorsFile, EveryMalformedFileGetsItsMessage) {
  for (const Row& row : malformed_files()) EXPECT_EQ(open_error(row.content), row.error) << row.what;
}

TEST(SafetensorsFile, RefusesAHeaderOverItsLimitUnread) {
  const TemporaryDirectory directory;
  write_file(directory / "f", little_endian(100'000'001));
  std::filesystem::resize_file(directory / "f", 100'000'009);  // a sparse file: all there, nothing stored
  const std::string path = (directory / "f").string();
  EXPECT_EQ(error_message([&] { SafetensorsFile file(path); }),
            "FormatError: " + path + ", byte 0: header claims 100000001 bytes, more than the limit of 16777216");
  EXPECT_EQ(error_message([&] { SafetensorsFile file(path, {.header = UINT64_MAX}); }),
            "FormatError: " + path + ", byte 0: header claims 100000001 bytes, more than the limit of 100000000");
}

TEST(SafetensorsFile, RefusesMoreTensorsThanItsLimit) {
  std::string header = "{";
  for (int i = 0; i < 11; ++i) header += message(i ? "," : "", tensor(std::to_string(i), "\"U8\"", "[0]", "[0,0]"));
  EXPECT_EQ(open_error(file_of(header + "}"), {.tensors = 11}), "");
  EXPECT_EQ(open_error(file_of(header + "}"), {.tensors = 10}),
            "FormatError: f: holds 11 tensors, more than the limit of 10");
}

TEST(SafetensorsFile, TakesRegularFilesOnly) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0600), 0);
  for (const std::string& path : {(directory / "fifo").string(), std::string("/dev/zero"), directory.path().string()}) {
    EXPECT_EQ(error_message([&] { SafetensorsFile file(path); }).find("FileError: cannot read \"" + path), 0u);
  }
}

TEST(SafetensorsFile, SaysSoWhenItShrinksWhileOpen) {
  const TemporaryDirectory directory;
  write_file(directory / "f", file_of("{" + tensor("a", "\"U8\"", "[8]", "[0,8]") + "}", 8));
  const SafetensorsFile file(directory / "f");
  std::filesystem::resize_file(directory / "f", 66);
  std::vector<std::byte> bytes(8);
  EXPECT_EQ(error_message([&] { file.read(file.tensors()[0], bytes); }),
            "FileError: cannot read \"" + (directory / "f").string() +
                "\": it ends before byte 66, and 3 more bytes were wanted; was it changed while it was open?");
}

TEST(SafetensorsFile, ReadWantsTheRightSize) {
  const TemporaryDirectory directory;
  write_file(directory / "f", file_of("{" + tensor("a", "\"U8\"", "[8]", "[0,8]") + "}", 8));
  const SafetensorsFile file(directory / "f");
  std::vector<std::byte> bytes(7);
  EXPECT_EQ(error_message([&] { file.read(*file.find("a"), bytes); }),
            "OptionError: " + (directory / "f").string() + ": tensor \"a\" has 8 bytes, the memory to read it into 7");
  EXPECT_EQ(file.find("b"), nullptr);
}

TEST(WriteSafetensors, WhatIsReadIsWhatWasWritten) {
  std::mt19937_64 random(1);
  const TemporaryDirectory directory;
  for (int round = 0; round < 200; ++round) {
    std::vector<std::vector<std::byte>> data;
    std::vector<TensorBytes> tensors;
    for (std::size_t i = random() % 9; i > 0; --i) {
      TensorBytes tensor{.name = message("t", random() % 1000, ".", i)};
      tensor.type = static_cast<ElementType>(random() % 22);
      std::uint64_t elements = 1;
      for (std::size_t rank = random() % 5; rank > 0; --rank) {
        tensor.shape.push_back(static_cast<std::int64_t>(random() % 5));
        elements *= static_cast<std::uint64_t>(tensor.shape.back());
      }
      if (elements * static_cast<std::uint64_t>(element_bits(tensor.type)) % 8 != 0) {
        tensor.shape.push_back(4);
        elements *= 4;
      }
      data.emplace_back(elements * static_cast<std::uint64_t>(element_bits(tensor.type)) / 8);
      for (std::byte& byte : data.back()) byte = static_cast<std::byte>(random());
      tensors.push_back(tensor);
    }
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].bytes = data[i];
    const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"\xC3\xA9\"\n", std::to_string(round)}};
    write_safetensors(directory / "f", tensors, metadata);

    const SafetensorsFile file(directory / "f");
    EXPECT_EQ(file.metadata(), metadata);
    ASSERT_EQ(file.tensors().size(), tensors.size());
    for (const TensorBytes& tensor : tensors) {
      const TensorInfo* info = file.find(tensor.name);
      ASSERT_NE(info, nullptr);
      EXPECT_EQ(info->type, tensor.type);
      EXPECT_EQ(info->shape, tensor.shape);
      EXPECT_EQ(info->begin % static_cast<std::uint64_t>(std::max(1, element_bits(tensor.type) / 8)), 0u)
          << "not aligned to its element";
      std::vector<std::byte> bytes(info->bytes());
      file.read(*info, bytes);
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
    }
  }
}

TEST(WriteSafetensors, RefusesWhatCannotBeReadAgain) {
  const TemporaryDirectory directory;
  const std::vector<std::byte> four(4);
  const auto error = [&](const std::vector<TensorBytes>& tensors,
                         const std::map<std::string, std::string>& metadata = {}) {
    return error_message([&] { write_safetensors(directory / "f", tensors, metadata); });
  };
  const auto u8 = ElementType::U8;
  EXPECT_EQ(error({{"__metadata__", u8, {4}, four}}),
            "OptionError: tensor \"__metadata__\": the format keeps this name for itself");
  EXPECT_EQ(error({{"", u8, {4}, four}}), "OptionError: tensor \"\": the name is empty");
  EXPECT_EQ(error({{"a\n", u8, {4}, four}}), "OptionError: tensor \"a\\x0a\": the name holds a control character");
  EXPECT_EQ(error({{"a", u8, {4}, four}, {"b", u8, {4}, four}, {"a", u8, {4}, four}}),
            "OptionError: tensor \"a\" is given twice");
  EXPECT_EQ(error({{"a\xFF", u8, {4}, four}}), "OptionError: \"a\xFF\" is not UTF-8");
  EXPECT_EQ(error({{"a", u8, {4}, four}}, {{"k", "\xFF"}}), "OptionError: \"\xFF\" is not UTF-8");
  EXPECT_EQ(error({{"a", u8, {-4}, four}}), "OptionError: tensor \"a\": shape [-4] is not up to 32 sizes of 0 or more");
  EXPECT_EQ(error({{"a", ElementType::F4, {3}, four}}),
            "OptionError: tensor \"a\": F4 [3] fills no whole number of bytes that 64 bits can count");
  EXPECT_EQ(error({{"a", ElementType::F32, {2}, four}}),
            "OptionError: tensor \"a\": F32 [2] needs 8 bytes, 4 are given");
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(WriteSafetensors, LeavesTheOldFileWhenTheSourceThrows) {
  const TemporaryDirectory directory;
  write_file(directory / "f", "old");
  const std::vector<TensorInfo> tensors = {{.name = "a", .type = ElementType::U8, .shape = {4}}};
  EXPECT_THROW(write_safetensors(directory / "f", tensors, {},
                                 [](std::size_t) -> std::span<const std::byte> { throw std::runtime_error("gone"); }),
               std::runtime_error);
  EXPECT_EQ(read_file(directory / "f", 10), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(SafetensorsFile, DamagedFilesNeverCrash) {
  const TemporaryDirectory directory;
  const std::vector<std::byte> data(24, std::byte{7});
  const std::vector<TensorBytes> tensors = {{"encoder.weight", ElementType::F32, {2, 2}, std::span(data).first(16)},
                                            {"encoder.bias", ElementType::BF16, {4}, std::span(data).first(8)}};
  write_safetensors(directory / "sound", tensors, {{"format", "pt"}});
  const std::string sound = read_file(directory / "sound", 1 << 20);
  std::mt19937_64 random(2);
  int refused = 0;
  const int rounds = 4000;
  for (int round = 0; round < rounds; ++round) {
    std::string damaged = sound;
    switch (round % 4) {
      case 0:
        damaged.resize(random() % sound.size());
        break;
      case 1:
        damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
        break;
      case 2:
        for (int i = 0; i < 4; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
        break;
      default:
        damaged.insert(random() % damaged.size(), 1, "0129-.eE\"{}[],:\\"[random() % 16]);
    }
    const std::string path = (directory / "damaged").string();
    std::FILE* out = std::fopen(path.c_str(), "wb");
    std::fwrite(damaged.data(), 1, damaged.size(), out);
    std::fclose(out);
    try {
      const SafetensorsFile file(path);
      for (const TensorInfo& tensor : file.tensors()) {
        std::vector<std::byte> bytes(tensor.bytes());
        file.read(tensor, bytes);
      }
    } catch (const FormatError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, rounds / 2);
}

TEST(SafetensorsFile, ReadsTheModel) {
  const SafetensorsFile file(GRAFT_DEPS "/model/model.safetensors");
  const TensorInfo* info = file.find("embeddings.word_embeddings.weight");
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->shape, (std::vector<std::int64_t>{30522, 384}));
  EXPECT_EQ(element_type_name(info->type), "F32");
  EXPECT_EQ(file.metadata().at("format"), "pt");
}

TEST(WriteSafetensors, WritesTheBytesOfTheReference) {
  const TemporaryDirectory directory;
  run_python("safetensors_files.py", {"write", directory.path().string()});
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    const std::string theirs = read_file(entry.path(), 1 << 20);
    std::vector<std::vector<std::byte>> data;
    std::vector<TensorBytes> tensors;
    const SafetensorsFile file(entry.path());
    for (const TensorInfo& tensor : file.tensors()) {
      data.emplace_back(tensor.bytes());
      file.read(tensor, data.back());
      tensors.push_back({tensor.name, tensor.type, tensor.shape, {}});
    }
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].bytes = data[i];
    std::reverse(tensors.begin(), tensors.end());
    write_safetensors(directory / "ours", tensors, file.metadata());
    EXPECT_EQ(read_file(directory / "ours", 1 << 20), theirs) << entry.path();
    std::filesystem::remove(directory / "ours");
  }
}

TEST(WriteSafetensors, TheReferenceReadsIt) {
  const TemporaryDirectory directory;
  const float w[] = {0, 1, 2, 3, 4, 5};
  const std::int64_t n[] = {7};
  const std::vector<TensorBytes> tensors = {{"w", ElementType::F32, {2, 3}, std::as_bytes(std::span(w))},
                                            {"n", ElementType::I64, {1}, std::as_bytes(std::span(n))}};
  write_safetensors(directory / "f", tensors, {{"format", "pt"}});
  run_python("safetensors_files.py", {"read", (directory / "f").string()});
}

}  // namespace
}  // namespace graft::safetensors_test
