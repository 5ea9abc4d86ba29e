#include "graft/io/gguf.hpp"
#include "graft/core/output.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "support/error_message.hpp"
#include "support/gguf_bytes.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

using namespace gguf_bytes;

/// What opening a file of that content says, with the path left out; "" if it is accepted.
std::string open_error(std::string_view content, const GgufLimits& limits = {}) {
  const TemporaryDirectory directory;
  write_file(directory / "f", content);
  const std::string path = (directory / "f").string();
  const std::string error = error_message([&] { GgufFile file(path, limits); });
  return error == "(no error)" ? "" : replaced(error, path, "f");
}

constexpr std::uint32_t F32 = 0, Q4_0 = 2;
constexpr std::uint32_t u8 = 0, u32_value = 4, boolean = 7, string = 8, array = 9, u64_value = 10;
constexpr std::uint64_t huge = std::uint64_t{1} << 60;

struct Row {
  const char* what;
  std::string content;
  std::string error;  // "" where the file is sound
};

std::vector<Row> malformed_files() {
  const auto one = [](std::vector<std::uint64_t> shape, std::uint32_t type, std::uint64_t offset, std::size_t data) {
    return file_of({}, {entry("a", std::move(shape), type, offset)}, data);
  };
  return {
      {"empty", "", "FormatError: f: has 0 bytes; a GGUF file has at least 24; copy the file again"},
      {"a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
       "FormatError: f: is not a GGUF file but seems a Git LFS pointer to one; fetch it with git lfs pull"},
      {"another magic number", "ggml" + std::string(40, '\0'),
       "FormatError: f: begins with \"ggml\", not with \"GGUF\"; it is another kind of file"},
      {"version 1", start(0, 0, 1),
       "FormatError: f: is GGUF version 1; graft reads versions 2 and 3, little-endian: convert the model again"},
      {"big-endian", start(0, 0, 0x03000000),
       "FormatError: f: is GGUF of a big-endian machine; graft reads versions 2 and 3, little-endian: convert the "
       "model again"},
      {"nothing in it", start(0, 0), ""},
      {"version 2", start(0, 0, 2), ""},
      {"2^60 keys", start(0, huge),
       "FormatError: f, byte 24: a key has 8 bytes, the file only 0 more; copy the file again"},
      {"2^60 tensors", start(huge, 0),
       "FormatError: f: claims 1152921504606846976 tensors, more than the limit of 100000"},
      {"a key that is cut", start(0, 1) + u64(5) + "ab",
       "FormatError: f, byte 32: a key has 5 bytes, the file only 2 more; copy the file again"},
      {"a key of 2^60 bytes", start(0, 1) + u64(huge) + "ab",
       "FormatError: f, byte 32: a key of 1152921504606846976 bytes; keys have 1 to 1024"},
      {"a key of no bytes", start(0, 1) + u64(0), "FormatError: f, byte 32: a key of 0 bytes; keys have 1 to 1024"},
      {"a key twice", file_of({key("k", u8, "\1"), key("k", u8, "\1")}, {}),
       "FormatError: f: key \"k\" is there twice; remove one"},
      {"a value of type 13", file_of({key("k", 13, "\1")}, {}),
       "FormatError: f, byte 37: the value of \"k\" is of type 13, which graft does not read"},
      {"a value that is cut", file_of({key("k", u64_value, "1234")}, {}),
       "FormatError: f, byte 37: the value of \"k\" is an array of 1, for which the 4 bytes that follow are too few; "
       "the file is cut short or not sound"},
      {"a string of 2^60 bytes", file_of({key("k", string, u64(huge) + "a")}, {}),
       "FormatError: f, byte 45: the value of \"k\" has 1152921504606846976 bytes, the file only 1 more; copy the file "
       "again"},
      {"a boolean of 2", file_of({key("k", boolean, "\2")}, {}),
       "FormatError: f, byte 38: the value of \"k\" holds a boolean that is neither 0 nor 1"},
      {"an array of 2^60 numbers", file_of({key("k", array, u32(u32_value) + u64(huge) + "1234")}, {}),
       "FormatError: f, byte 49: the value of \"k\" is an array of 1152921504606846976, for which the 4 bytes that "
       "follow are too few; the file is cut short or not sound"},
      {"an array of 2^64 - 1 strings", file_of({key("k", array, u32(string) + u64(UINT64_MAX) + text("a"))}, {}),
       "FormatError: f, byte 49: the value of \"k\" is an array of 18446744073709551615, for which the 9 bytes that "
       "follow are too few; the file is cut short or not sound"},
      {"an array of arrays", file_of({key("k", array, u32(array) + u64(1) + u32(u8) + u64(0))}, {}),
       "FormatError: f, byte 49: the value of \"k\" is an array of type 9, which graft does not read"},
      {"an empty array", file_of({key("k", array, u32(string) + u64(0))}, {}), ""},
      {"an alignment of 0", file_of({key("general.alignment", u32_value, u32(0))}, {}),
       "FormatError: f: \"general.alignment\" is 0, but must be an integer from 8 to 1048576"},
      {"an alignment of 24", file_of({key("general.alignment", u32_value, u32(24))}, {}),
       "FormatError: f: \"general.alignment\" is 24, but must be a power of two from 8 to 1048576"},
      {"an alignment of 64",
       file_of({key("general.alignment", u32_value, u32(64))}, {entry("a", {2}, F32, 0), entry("b", {1}, F32, 64)}, 68,
               64),
       ""},
      {"a tensor", one({3, 2}, F32, 0, 24), ""},
      {"a scalar", one({}, F32, 0, 4), ""},
      {"an empty tensor", one({0}, F32, 0, 32), ""},
      {"padding at the end", one({3, 2}, F32, 0, 32), ""},
      {"no name", file_of({}, {entry("", {1}, F32, 0)}, 32), "FormatError: f: tensor \"\": the name is empty"},
      {"a name with a line end", file_of({}, {entry("a\n", {1}, F32, 0)}, 32),
       "FormatError: f: tensor \"a\\x0a\": the name holds a control character"},
      {"a name twice", file_of({}, {entry("a", {8}, F32, 0), entry("a", {8}, F32, 32)}, 64),
       "FormatError: f: tensor \"a\" is there twice"},
      {"five dimensions", one({1, 1, 1, 1, 1}, F32, 0, 32),
       "FormatError: f: tensor \"a\": has 5 dimensions, a GGUF tensor at most 4"},
      {"2^32 - 1 dimensions", start(1, 0) + text("a") + u32(UINT32_MAX),
       "FormatError: f: tensor \"a\": has 4294967295 dimensions, a GGUF tensor at most 4"},
      {"more numbers than 2^64", one({huge, huge}, F32, 0, 32),
       "FormatError: f: tensor \"a\": number of elements: 1152921504606846976 x 1152921504606846976 is too large"},
      {"more bytes than 2^64", one({std::uint64_t{1} << 62}, F32, 0, 32),
       "FormatError: f: tensor \"a\": bytes: 4611686018427387904 x 4 is too large"},
      {"a size of 2^64 - 1", one({UINT64_MAX, 0}, F32, 0, 32),
       "FormatError: f: tensor \"a\": size: 18446744073709551615 is out of range"},
      {"a type that graft does not read", one({256}, 10, 0, 84),
       "FormatError: f: tensor \"a\": is of type 10, which graft does not read; convert the model to F16, Q8_0, Q4_0, "
       "Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K"},
      {"a row of half a block", one({48, 2}, Q4_0, 0, 54),
       "FormatError: f: tensor \"a\": rows of 48 are no whole number of Q4_0 blocks, which hold 32"},
      {"a tensor outside", one({8}, F32, huge, 32),
       "FormatError: f: tensor \"a\": ends at byte 1152921504606847072, the file at 96; it is cut short: copy it "
       "again"},
      {"an offset of 2^64 - 1", one({8}, F32, UINT64_MAX, 32),
       "FormatError: f: tensor \"a\": end: 18446744073709551615 + 32 is too large"},
      {"a tensor that is cut", one({3, 2}, F32, 0, 23),
       "FormatError: f: tensor \"a\": ends at byte 120, the file at 119; it is cut short: copy it again"},
      {"a hole", file_of({}, {entry("a", {8}, F32, 0), entry("b", {8}, F32, 64)}, 96),
       "FormatError: f: tensor \"b\": begins at byte 160, where 128 follows the tensor before; tensors must lie end to "
       "end, aligned to 32"},
      {"an overlap", file_of({}, {entry("a", {8}, F32, 0), entry("b", {8}, F32, 0)}, 64),
       "FormatError: f: tensor \"b\": begins at byte 96, where 128 follows the tensor before; tensors must lie end to "
       "end, aligned to 32"},
      {"an offset off the alignment", file_of({}, {entry("a", {1}, F32, 0), entry("b", {1}, F32, 4)}, 64),
       "FormatError: f: tensor \"b\": begins at byte 100, where 128 follows the tensor before; tensors must lie end to "
       "end, aligned to 32"},
  };
}

TEST(GgufFile, JudgesMalformedFiles) {
  for (const Row& row : malformed_files()) EXPECT_EQ(open_error(row.content), row.error) << row.what;
}

TEST(GgufFile, StopsAtTheLimitOfTheHeader) {
  const std::string content = file_of({key("k", string, text(std::string(5000, 'x')))}, {});
  EXPECT_EQ(open_error(content, {.header = 6000}), "");
  EXPECT_EQ(
      open_error(content, {.header = 2000}),
      "FormatError: f, byte 45: the value of \"k\" has 5000 bytes, beyond the limit of 2000 for the header; raise "
      "GgufLimits::header if the file is sound");
}

TEST(GgufFile, DamagedFilesNeverCrash) {
  const std::string sound =
      file_of({key("general.architecture", string, text("test")),
               key("tokens", array, u32(string) + u64(2) + text("a") + text("bc")), key("n", u32_value, u32(7))},
              {entry("a", {32, 2}, Q4_0, 0), entry("b", {3, 2}, F32, 64)}, 96);
  ASSERT_EQ(open_error(sound), "");
  const TemporaryDirectory directory;
  std::mt19937_64 random(3);
  int refused = 0;
  constexpr int rounds = 4000;
  for (int round = 0; round < rounds; ++round) {
    std::string damaged = sound;
    switch (round % 3) {
      case 0:
        damaged.resize(random() % sound.size());
        break;
      case 1:
        damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
        break;
      default:
        for (int i = 0; i < 4; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    std::filesystem::remove(directory / "f");
    std::ofstream(directory / "f", std::ios::binary) << damaged;
    try {
      const GgufFile file(directory / "f");
      for (const GgufTensor& tensor : file.tensors()) {
        std::vector<float> values(tensor.values());
        file.read_float32(tensor, values);
      }
      for (const std::string_view name : file.metadata().keys()) {
        error_message([&] { file.metadata().texts(name); });
        error_message([&] { file.metadata().integer(name, 0, 10); });
      }
    } catch (const FormatError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, rounds / 3);
}

/// A file of random content that Python's gguf wrote, and the numbers it reads in it.
struct RandomFile {
  TemporaryDirectory directory;
  GgufFile file{(run_python("gguf_files.py", {"random", directory.path().string()}), directory / "random.gguf")};
};

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> out(values.size());
  std::memcpy(out.data(), values.data(), values.size() * sizeof(float));
  return out;
}

TEST(GgufFile, DecodesRandomBlocksAsTheReference) {
  const RandomFile random;
  const GgufFile& file = random.file;
  const std::string expected_bytes = read_file(random.directory / "random.f32", 1 << 24);
  ASSERT_EQ(file.tensors().size(), 11u) << "one of each type";
  std::size_t at = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    EXPECT_EQ(gguf_type_name(tensor.type), tensor.name);
    std::vector<float> values(tensor.values()), expected(tensor.values());
    ASSERT_LE(at + values.size() * sizeof(float), expected_bytes.size());
    std::memcpy(expected.data(), expected_bytes.data() + at, values.size() * sizeof(float));
    at += values.size() * sizeof(float);
    file.read_float32(tensor, values);
    EXPECT_EQ(bits(values), bits(expected)) << tensor.name << ": not the same bits";
    std::vector<std::byte> raw(tensor.bytes());
    file.read(tensor, raw);
    std::vector<float> again(tensor.values());
    dequantise(tensor.type, raw, again);
    EXPECT_EQ(bits(again), bits(expected)) << tensor.name;
  }
  EXPECT_EQ(at, expected_bytes.size());
  EXPECT_EQ(file.tensor("F32").shape, (std::vector<std::int64_t>{2, 3, 5}));
  EXPECT_EQ(file.tensor("Q4_K").shape, (std::vector<std::int64_t>{3, 40 * 256}));
}

TEST(GgufMetadata, ReadsEveryTypeThatTheReferenceWrites) {
  const RandomFile random;
  const GgufFile& file = random.file;
  const GgufMetadata& data = file.metadata();
  const auto integer = [&](std::string_view name) { return data.integer(name, INT64_MIN, INT64_MAX); };
  EXPECT_EQ(integer("kinds.u8"), 200);
  EXPECT_EQ(integer("kinds.i8"), -100);
  EXPECT_EQ(integer("kinds.u16"), 60000);
  EXPECT_EQ(integer("kinds.i16"), -30000);
  EXPECT_EQ(integer("kinds.u32"), 4000000000);
  EXPECT_EQ(integer("kinds.i32"), -2000000000);
  EXPECT_EQ(integer("kinds.i64"), INT64_MIN);
  EXPECT_EQ(data.number("kinds.f32", 0, 1), 0.5);
  EXPECT_EQ(data.number("kinds.f64", 0, 1e301), 1e300);
  EXPECT_EQ(data.number("kinds.u8", 0, 1000), 200);
  EXPECT_TRUE(data.boolean("kinds.bool"));
  EXPECT_EQ(data.text("kinds.string"), "straße");
  EXPECT_EQ(data.texts("kinds.strings"), (std::vector<std::string_view>{"", "a", "▁b"}));
  EXPECT_EQ(data.integers("kinds.integers"), (std::vector<std::int64_t>{1, -2, 3}));
  EXPECT_EQ(data.numbers("kinds.numbers"), (std::vector<double>{0.5, -1.5}));
  EXPECT_EQ(data.numbers("kinds.integers"), (std::vector<double>{1, -2, 3}));
  EXPECT_EQ(data.integer("absent", 0, 1, 1), 1);
  EXPECT_EQ(data.text("absent", "x"), "x");
  EXPECT_FALSE(data.has("absent"));
}

TEST(GgufMetadata, ErrorsNameFileAndKey) {
  const RandomFile random;
  const GgufFile& file = random.file;
  const GgufMetadata& data = file.metadata();
  const auto error = [&](auto&& call) { return replaced(error_message(call), file.path().string(), "f"); };
  EXPECT_EQ(error([&] { data.integer("absent", 1, 2); }),
            "FormatError: f: \"absent\" is missing, but must be an integer from 1 to 2");
  EXPECT_EQ(error([&] { data.integer("kinds.u8", 1, 2); }),
            "FormatError: f: \"kinds.u8\" is 200, but must be an integer from 1 to 2");
  EXPECT_EQ(error([&] { data.integer("kinds.u64", 1, INT64_MAX); }),
            "FormatError: f: \"kinds.u64\" is 18446744073709551615, but must be an integer from 1 to "
            "9223372036854775807");
  EXPECT_EQ(error([&] { data.integer("kinds.f32", 0, 2, 1); }),
            "FormatError: f: \"kinds.f32\" is 0.5, but must be an integer from 0 to 2");
  EXPECT_EQ(error([&] { data.number("kinds.string", 0, 1); }),
            "FormatError: f: \"kinds.string\" is \"straße\", but must be a number from 0 to 1");
  EXPECT_EQ(error([&] { data.boolean("kinds.u8"); }), "FormatError: f: \"kinds.u8\" is 200, but must be true or false");
  EXPECT_EQ(error([&] { data.text("kinds.bool"); }), "FormatError: f: \"kinds.bool\" is true, but must be a string");
  EXPECT_EQ(error([&] { data.texts("kinds.integers"); }),
            "FormatError: f: \"kinds.integers\" is an array of 3, but must be an array of strings");
  EXPECT_EQ(error([&] { data.integers("kinds.strings"); }),
            "FormatError: f: \"kinds.strings\" is an array of 3, but must be an array of integers");
  EXPECT_EQ(error([&] { data.integers("kinds.u8"); }),
            "FormatError: f: \"kinds.u8\" is 200, but must be an array of integers");
  EXPECT_EQ(error([&] { file.tensor("x"); }),
            "FormatError: f: has no tensor \"x\"; it is of another architecture, or incomplete");
  std::vector<float> values(3);
  EXPECT_EQ(error([&] { file.read_float32(file.tensor("F32"), values); }),
            "OptionError: f: tensor \"F32\" has 30 numbers, the memory to read it into has room for 3");
}

/// The sum of (2 i + 1) x bits of number i, modulo 2^64.
std::uint64_t check_sum(const std::vector<float>& values) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    sum += std::uint64_t{std::bit_cast<std::uint32_t>(values[i])} * (2 * i + 1);
  return sum;
}

TEST(GgufFile, DecodesARealModelAsTheReference) {
  const std::string path = GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  const TemporaryDirectory directory;
  run_python("gguf_files.py", {"model", directory.path().string(), path});
  const GgufFile file(path);
  std::ifstream lines(directory / "model.txt");
  std::size_t count = 0;
  std::string name, type, sizes;
  for (std::uint64_t sum; lines >> name >> type >> sizes >> sum; ++count) {
    const GgufTensor& tensor = file.tensor(name);
    EXPECT_EQ(gguf_type_name(tensor.type), type);
    std::string shape;
    for (const std::int64_t size : tensor.shape) shape += (shape.empty() ? "" : "x") + std::to_string(size);
    EXPECT_EQ(shape, sizes);
    std::vector<float> values(tensor.values());
    file.read_float32(tensor, values);
    EXPECT_EQ(check_sum(values), sum) << name;
  }
  EXPECT_EQ(count, 17u) << "eight of F32 and Q4_1, one of Q8_0";
}

TEST(GgufFile, GivesTheShapeOfHuggingFace) {
  const std::string path = GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  const GgufFile file(path);
  const GgufTensor& embedding = file.tensor("token_embd.weight");
  std::vector<float> values(embedding.values());
  file.read_float32(embedding, values);
  EXPECT_EQ(embedding.shape, (std::vector<std::int64_t>{49152, 576}));
  EXPECT_NE(values.back(), 0.0f);
}

TEST(Dequantise, RefusesSizesThatDoNotFit) {
  std::vector<std::byte> bytes(18);
  std::vector<float> values(33);
  EXPECT_EQ(error_message([&] { dequantise(GgufType::Q4_0, bytes, values); }),
            "OptionError: 18 bytes for 33 numbers of Q4_0, of which 32 take 18 bytes");
}

TEST(HalfToFloat, IsExactForEveryNumber) {
  EXPECT_EQ(half_to_float(0x3C00), 1.0f);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(half_to_float(0x7BFF), 65504.0f);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(half_to_float(0x8000)), 0x80000000u);
  EXPECT_EQ(half_to_float(0xFC00), -INFINITY);
  EXPECT_TRUE(std::isnan(half_to_float(0x7E00)));
  EXPECT_EQ(bfloat16_to_float(0xC040), -3.0f);
}

}  // namespace
}  // namespace graft
