#include "gguf/writer.hpp"

#include <array>
#include <csignal>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "base/huge_page.hpp"
#include "gguf/file.hpp"
#include "gguf/gguf_bytes.hpp"

namespace mullama::gguf {
namespace {

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path().filename());
  return files;
}

TEST(GgufWriter, WritesEveryMetadataTypeAndTensorsOfAnyAlignment) {
  for (const uint32_t alignment : {32u, 1u, 64u, 4096u}) {
    const TemporaryFolder folder;
    auto writer = Writer::create(folder / "m.gguf", alignment);
    ASSERT_TRUE(writer) << writer.error().message;
    const std::array<std::string_view, 3> strings{"a", "", "ccc"};
    const std::array<uint32_t, 2> unsigned_numbers{1, UINT32_MAX};
    const std::array<int32_t, 2> signed_numbers{-1, INT32_MIN};
    const std::array<float, 2> floats{0.5f, -1e30f};
    writer->set("bool", true);
    writer->set("u8", uint8_t{200});
    writer->set("i8", int8_t{-100});
    writer->set("u16", uint16_t{60000});
    writer->set("i16", int16_t{-30000});
    writer->set("u32", uint32_t{4000000000});
    writer->set("i32", int32_t{-5});
    writer->set("u64", uint64_t{1} << 63);
    writer->set("i64", int64_t{-6});
    writer->set("f32", 0.25f);
    writer->set("f64", 0.1);
    writer->set("string", "first");
    writer->set("empty", "");
    writer->set("strings", std::span<const std::string_view>(strings));
    writer->set("u32s", std::span<const uint32_t>(unsigned_numbers));
    writer->set("i32s", std::span<const int32_t>(signed_numbers));
    writer->set("floats", std::span<const float>(floats));
    writer->set("string", "second");  // Replaces the first.
    writer->set("general.alignment", uint32_t{7});
    const std::array<uint64_t, 1> one{5};
    const std::array<uint64_t, 3> three{32, 3, 2};
    ASSERT_TRUE(writer->add_tensor("one", TensorType::F32, one));
    ASSERT_TRUE(writer->add_tensor("three", TensorType::Q4_0, three));
    ASSERT_TRUE(writer->begin());
    const std::string one_bytes(20, '1');
    const std::string three_bytes(6 * 18, '3');
    // Tensors are streamed in pieces that need not end where they do.
    ASSERT_TRUE(writer->write(bytes_of(one_bytes.substr(0, 7))));
    ASSERT_TRUE(writer->write(bytes_of(one_bytes.substr(7) + three_bytes.substr(0, 50))));
    ASSERT_TRUE(writer->write(bytes_of(three_bytes.substr(50))));
    ASSERT_TRUE(writer->finish());
    EXPECT_EQ(writer->file_bytes(), std::filesystem::file_size(folder / "m.gguf"));
    EXPECT_EQ(files_in(folder.path()).size(), 1u);

    const auto file = File::open(folder / "m.gguf");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->version(), 3u);
    EXPECT_EQ(file->alignment(), alignment);
    EXPECT_EQ(file->metadata().size(), alignment == 32 ? 17u : 18u);
    EXPECT_EQ(file->boolean("bool").value(), true);
    EXPECT_EQ(file->find("u8")->type(), ValueType::u8);
    EXPECT_EQ(file->integer("u8").value(), 200u);
    EXPECT_EQ(file->find("i8")->integer_element(0), -100);
    EXPECT_EQ(file->integer("u16").value(), 60000u);
    EXPECT_EQ(file->find("i16")->integer_element(0), -30000);
    EXPECT_EQ(file->integer("u32").value(), 4000000000u);
    EXPECT_EQ(file->find("i32")->integer_element(0), -5);
    EXPECT_EQ(file->integer("u64", 0, UINT64_MAX).value(), uint64_t{1} << 63);
    EXPECT_EQ(file->find("i64")->integer_element(0), -6);
    EXPECT_EQ(file->number("f32").value(), 0.25);
    EXPECT_EQ(file->number("f64").value(), 0.1);
    EXPECT_EQ(file->string("string").value(), "second");
    EXPECT_EQ(file->string("empty").value(), "");
    EXPECT_EQ(file->find("strings")->to_display(), "[\"a\", \"\", \"ccc\"]");
    EXPECT_EQ(file->number_array("u32s")->integer_element(1), UINT32_MAX);
    EXPECT_EQ(file->number_array("i32s")->integer_element(1), INT32_MIN);
    EXPECT_EQ(file->number_array("floats")->number_element(1), static_cast<double>(-1e30f));
    ASSERT_EQ(file->tensors().size(), 2u);
    EXPECT_EQ(std::memcmp(file->tensor("one")->data, one_bytes.data(), one_bytes.size()), 0);
    EXPECT_EQ(std::memcmp(file->tensor("three")->data, three_bytes.data(), three_bytes.size()), 0);
    EXPECT_EQ(file->tensor("three")->shape, (std::array<uint64_t, 4>{32, 3, 2, 1}));
  }
}

TEST(GgufWriter, CopiesValuesOfAnotherFileVerbatim) {
  const std::string source =
      GgufBytes(2)
          .number<uint8_t>("flag", ValueType::boolean, 1)
          .number<int16_t>("i16", ValueType::i16, -2)
          .number<double>("f64", ValueType::f64, 1e-300)
          .string("s", "text")
          .string("empty", "")
          .array("none", ValueType::f32, 0, "")
          .array("flags", ValueType::boolean, 3, std::string("\1\0\1", 3))
          .array("strings", ValueType::string, 2, GgufBytes::text("x") + GgufBytes::text("yy"))
          .array("nested", ValueType::array, 1, GgufBytes::array_payload(ValueType::u8, 3, "abc"))
          .str();
  const auto in = File::parse(bytes_of(source), "in.gguf");
  ASSERT_TRUE(in) << in.error().message;
  const TemporaryFolder folder;
  auto writer = Writer::create(folder / "out.gguf");
  ASSERT_TRUE(writer) << writer.error().message;
  for (const File::Entry& entry : in->metadata()) writer->set(entry.key, entry.value);
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->finish());
  const auto out = File::open(folder / "out.gguf");
  ASSERT_TRUE(out) << out.error().message;
  ASSERT_EQ(out->metadata().size(), in->metadata().size());
  for (size_t i = 0; i < in->metadata().size(); ++i) {
    const File::Entry& a = in->metadata()[i];
    const File::Entry& b = out->metadata()[i];
    EXPECT_EQ(a.key, b.key);
    EXPECT_EQ(a.value.type(), b.value.type()) << a.key;
    EXPECT_EQ(a.value.element_type(), b.value.element_type()) << a.key;
    EXPECT_EQ(a.value.count(), b.value.count()) << a.key;
    EXPECT_TRUE(
        std::equal(a.value.raw().begin(), a.value.raw().end(), b.value.raw().begin(), b.value.raw().end()))
        << a.key;
  }
}

TEST(GgufWriter, LeavesTheOldFileUntilTheNewOneIsComplete) {
  const TemporaryFolder folder;
  write_file(folder / "m.gguf", "old");
  const std::array<uint64_t, 1> shape{1000};
  {
    auto writer = Writer::create(folder / "m.gguf");
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->add_tensor("t", TensorType::F32, shape));
    ASSERT_TRUE(writer->begin());
    ASSERT_TRUE(writer->write(bytes_of(std::string(3999, 'x'))));
    const auto status = writer->finish();
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find("lacks 1 bytes of tensor 't'"), std::string::npos)
        << status.error().message;
    EXPECT_EQ(read_file(folder / "m.gguf"), "old");
    Writer moved = std::move(*writer);
    EXPECT_TRUE(moved.write(bytes_of("x")));
    EXPECT_EQ(moved.write(bytes_of("y")).error().code, ErrorCode::internal);
  }
  EXPECT_EQ(read_file(folder / "m.gguf"), "old");
  EXPECT_EQ(files_in(folder.path()).size(), 1u);
}

TEST(GgufWriter, RefusesImpossibleTensors) {
  const TemporaryFolder folder;
  auto writer = Writer::create(folder / "m.gguf");
  ASSERT_TRUE(writer);
  const auto add = [&](std::vector<uint64_t> shape, TensorType type = TensorType::F32) {
    return static_cast<bool>(writer->add_tensor("t", type, shape));
  };
  EXPECT_FALSE(add({}));
  EXPECT_FALSE(add({1, 1, 1, 1, 1}));
  EXPECT_FALSE(add({0}));
  EXPECT_FALSE(add({1ull << 32, 1ull << 32}));
  EXPECT_FALSE(add({33}, TensorType::Q4_0));
  EXPECT_TRUE(add({32}, TensorType::Q4_0));
  EXPECT_FALSE(add({32}, TensorType::Q4_0)) << "a second tensor of the same name";
  EXPECT_FALSE(Writer::create(folder / "x.gguf", 48));
  EXPECT_FALSE(Writer::create(folder / "x.gguf", 0));
}

TEST(GgufWriter, ReportsWhatTheSystemRefuses) {
  const TemporaryFolder folder;
  EXPECT_EQ(Writer::create(folder / "no/such/folder/m.gguf").error().code, ErrorCode::not_found);
  std::filesystem::create_directory(folder / "folder");
  auto writer = Writer::create(folder / "folder");
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->begin());
  const auto status = writer->finish();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io) << status.error().message;
}

// A limit on the file size stands in for a full disk: both refuse the space.
TEST(GgufWriter, AFullDiskIsAnErrorAndLeavesNothingBehind) {
  const TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{size_t{1} << 20, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  Status status;
  {
    auto writer = Writer::create(folder / "m.gguf");
    ASSERT_TRUE(writer);
    const std::array<uint64_t, 1> shape{1 << 20};
    ASSERT_TRUE(writer->add_tensor("t", TensorType::F32, shape));
    status = writer->begin();
    for (int i = 0; i < 64 && status; ++i) status = writer->write(bytes_of(std::string(1 << 16, 'x')));
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io);
  EXPECT_NE(status.error().message.find("the file needs"), std::string::npos) << status.error().message;
  EXPECT_TRUE(files_in(folder.path()).empty());
}

// File systems keep in huge pages only what comes to them as whole ones.
TEST(HugePageBuffer, HandsOverWholePagesOfTheFileAndThenTheRest) {
  HugePageBuffer buffer;
  std::vector<size_t> pieces;
  std::string written;
  const auto write = [&](std::span<const std::byte> bytes) -> Status {
    pieces.push_back(bytes.size());
    written.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
  std::string text(3 * kHugePageBytes + 5, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i % 251);
  // It may go on in the middle of a page, as a download does.
  const size_t begin = kHugePageBytes / 2;
  size_t at = 0;
  for (const size_t size : {size_t{1}, size_t{70000}, size_t{2 * kHugePageBytes}, size_t{7}}) {
    ASSERT_TRUE(buffer.append(begin + at, bytes_of(text.substr(at, size)), write));
    at += size;
  }
  ASSERT_TRUE(buffer.flush(write));
  ASSERT_TRUE(buffer.flush(write));
  EXPECT_EQ(pieces,
            (std::vector<size_t>{kHugePageBytes - begin, kHugePageBytes, at - 2 * kHugePageBytes + begin}));
  EXPECT_EQ(written, text.substr(0, at));
}

// A disk that fills up may have taken a part.
TEST(HugePageBuffer, WhatCouldNotBeWrittenDoesNotComeAgain) {
  HugePageBuffer buffer;
  int calls = 0;
  const auto refuse = [&](std::span<const std::byte>) -> Status {
    ++calls;
    return fail(ErrorCode::io, "full");
  };
  ASSERT_TRUE(buffer.append(0, bytes_of("some bytes"), refuse));
  EXPECT_FALSE(buffer.flush(refuse));
  EXPECT_TRUE(buffer.flush(refuse));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace mullama::gguf
