#include <gtest/gtest.h>

#include "gguf/file.hpp"
#include "gguf/gguf_bytes.hpp"

namespace mullama::gguf {
namespace {

std::string part(uint16_t number, uint16_t count, int32_t tensors, std::string_view name, char fill) {
  GgufBytes bytes;
  if (number == 0) bytes.string("general.name", "whole");
  bytes.number<uint16_t>("split.no", ValueType::u16, number)
      .number<uint16_t>("split.count", ValueType::u16, count)
      .number<int32_t>("split.tensors.count", ValueType::i32, tensors)
      .tensor(name, {8}, TensorType::F32, fill);
  return bytes.str();
}

TEST(GgufSplit, ReadsAllPartsAsOneModel) {
  const TemporaryFolder folder;
  write_file(folder / "m-00001-of-00003.gguf", part(0, 3, 3, "a", 'a'));
  write_file(folder / "m-00002-of-00003.gguf", part(1, 3, 3, "b", 'b'));
  write_file(folder / "m-00003-of-00003.gguf", part(2, 3, 3, "c", 'c'));
  const auto file = File::open(folder / "m-00001-of-00003.gguf");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->mappings().size(), 3u);
  EXPECT_EQ(file->string("general.name").value(), "whole");
  EXPECT_EQ(file->tensor("c")->split, 2u);
  EXPECT_EQ(static_cast<char>(file->tensor("a")->data[0]), 'a');
  EXPECT_EQ(static_cast<char>(file->tensor("c")->data[31]), 'c');
  EXPECT_EQ(file->file_bytes(), std::filesystem::file_size(folder / "m-00001-of-00003.gguf") +
                                    std::filesystem::file_size(folder / "m-00002-of-00003.gguf") +
                                    std::filesystem::file_size(folder / "m-00003-of-00003.gguf"));
}

TEST(GgufSplit, RefusesWhatDoesNotFitTogether) {
  const TemporaryFolder folder;
  const auto first = folder / "m-00001-of-00002.gguf";
  const auto second = folder / "m-00002-of-00002.gguf";
  const auto expect = [&](ErrorCode code, std::string_view text) {
    const auto file = File::open(first);
    ASSERT_FALSE(file) << "expected: " << text;
    EXPECT_EQ(file.error().code, code) << file.error().message;
    EXPECT_NE(file.error().message.find(text), std::string::npos) << file.error().message;
  };
  write_file(first, part(0, 2, 2, "a", 'a'));
  expect(ErrorCode::not_found, "part 2 of 2 of a split model is missing");

  write_file(second, part(1, 2, 2, "a", 'b'));
  expect(ErrorCode::corrupt_file, "'a' appears twice");

  write_file(second, part(5, 2, 2, "b", 'b'));
  expect(ErrorCode::corrupt_file, "'split.no' says 5");

  const std::string whole = part(1, 2, 2, "b", 'b');
  write_file(second, whole.substr(0, whole.size() - 1));
  expect(ErrorCode::corrupt_file, "m-00002-of-00002.gguf");

  write_file(second, whole);
  EXPECT_TRUE(File::open(first));
  write_file(first, part(0, 2, 7, "a", 'a'));
  expect(ErrorCode::corrupt_file, "'split.tensors.count' says 7");
}

TEST(GgufSplit, AsksForTheFirstPart) {
  const TemporaryFolder folder;
  write_file(folder / "m-00002-of-00002.gguf", part(1, 2, 2, "b", 'b'));
  const auto file = File::open(folder / "m-00002-of-00002.gguf");
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("part 2 of 2"), std::string::npos) << file.error().message;
  EXPECT_NE(file.error().message.find("-00001-of-00002.gguf"), std::string::npos) << file.error().message;

  write_file(folder / "renamed.gguf", part(0, 2, 2, "a", 'a'));
  EXPECT_EQ(File::open(folder / "renamed.gguf").error().code, ErrorCode::corrupt_file);
  write_file(folder / "many.gguf",
             GgufBytes().number<uint32_t>("split.count", ValueType::u32, 4000000000u).str());
  EXPECT_EQ(File::open(folder / "many.gguf").error().code, ErrorCode::corrupt_file);
}

}  // namespace
}  // namespace mullama::gguf
