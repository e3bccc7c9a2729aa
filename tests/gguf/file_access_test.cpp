#include <array>
#include <cstring>
#include <ctime>
#include <gtest/gtest.h>
#include <numeric>
#include <vector>

#include "gguf/file.hpp"
#include "gguf/header_builder.hpp"
#include "gguf/writer.hpp"
#include "memory/fake_tree.hpp"
#include "memory/proc_text.hpp"
#include "memory/residency.hpp"

namespace mullama::gguf {
namespace {

using memory::FakeTree;
using memory::Ledger;
using memory::Pool;

/// Writes a small model with two tensors of known bytes.
void write_model(const std::filesystem::path& path, uint32_t split = 0, uint32_t splits = 1) {
  auto writer = Writer::create(path);
  ASSERT_TRUE(writer) << writer.error().message;
  writer->set("general.architecture", "test");
  if (splits > 1) {
    writer->set("split.no", static_cast<uint16_t>(split));
    writer->set("split.count", static_cast<uint16_t>(splits));
    writer->set("split.tensors.count", static_cast<int32_t>(2 * splits));
  }
  const std::array<uint64_t, 2> shape{256, 64};
  for (const char* name : {"first", "second"}) {
    ASSERT_TRUE(writer->add_tensor(fmt::format("{}.{}", name, split), TensorType::F32, shape));
  }
  ASSERT_TRUE(writer->begin());
  for (size_t t = 0; t < 2; ++t) {
    std::vector<float> values(256 * 64);
    std::iota(values.begin(), values.end(), static_cast<float>(1 + t * 100000 + split * 1000000));
    ASSERT_TRUE(writer->write(std::as_bytes(std::span(values))));
  }
  ASSERT_TRUE(writer->finish());
}

std::vector<float> read(const File& file, std::string_view name) {
  const TensorInfo* tensor = file.tensor(name);
  std::vector<float> values(tensor == nullptr ? 0 : tensor->values());
  if (tensor != nullptr) {
    const auto status = file.read_tensor(*tensor, std::as_writable_bytes(std::span(values)));
    EXPECT_TRUE(status) << status.error().message;
  }
  return values;
}

bool is_mapped(const std::filesystem::path& path) {
  const auto maps = memory::read_proc_text("/proc/self/maps");
  return maps && maps->find(path.string()) != std::string::npos;
}

// N22
TEST(FileAccess, HeaderInOwnMemoryLeavesNothingMapped) {
  const FakeTree tree;
  const auto path = tree.path() / "m.gguf";
  write_model(path);
  Ledger ledger;
  auto owned = File::open_header(path, ledger);
  ASSERT_TRUE(owned) << owned.error().message;
  EXPECT_FALSE(is_mapped(path));
  const auto mapped = File::open(path);
  ASSERT_TRUE(mapped);
  EXPECT_TRUE(is_mapped(path));
  const std::vector<float> wanted = read(*mapped, "second.0");
  const uint64_t footprint = mapped->header_footprint();
  const uint64_t bytes = mapped->file_bytes();
  EXPECT_EQ(wanted.at(7), 100008.0f);
  EXPECT_TRUE(owned->mappings().empty());
  EXPECT_EQ(ledger.usage().in(memory::kHost, Pool::runtime), footprint);
  EXPECT_EQ(owned->header_footprint(), footprint);
  EXPECT_EQ(owned->file_bytes(), bytes);
  EXPECT_EQ(owned->tensor("first.0")->data, nullptr);
  EXPECT_EQ(*owned->string("general.architecture"), "test");
  EXPECT_EQ(read(*owned, "second.0"), wanted);
  owned->close_sources();
  std::vector<float> values(256 * 64);
  EXPECT_FALSE(owned->read_tensor(*owned->tensor("first.0"), std::as_writable_bytes(std::span(values))));
}

TEST(FileAccess, SplitModelsReadFromEachPart) {
  const FakeTree tree;
  const auto path = tree.path() / "m-00001-of-00002.gguf";
  write_model(path, 0, 2);
  write_model(tree.path() / "m-00002-of-00002.gguf", 1, 2);
  Ledger ledger;
  const auto mapped = File::open(path);
  const auto owned = File::open_header(path, ledger);
  ASSERT_TRUE(mapped && owned);
  EXPECT_EQ(mapped->mappings().size(), 2u);
  EXPECT_EQ(owned->tensors().size(), 4u);
  EXPECT_EQ(read(*owned, "first.1"), read(*mapped, "first.1"));
  EXPECT_EQ(read(*owned, "first.1").at(0), 1000001.0f);
  EXPECT_EQ(ledger.usage().in(memory::kHost, Pool::runtime), mapped->header_footprint());
  std::filesystem::remove(tree.path() / "m-00002-of-00002.gguf");
  const auto missing = File::open_header(path, ledger);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_EQ(missing.error().message, File::open(path).error().message);
}

TEST(FileAccess, EveryWayMakesTheSameChecks) {
  const FakeTree tree;
  const auto path = tree.path() / "m.gguf";
  write_model(path);
  const uint64_t size = std::filesystem::file_size(path);
  const auto whole = memory::read_proc_text(path);
  ASSERT_TRUE(whole);
  Ledger ledger;
  // Cut inside the magic, the header, the padding, the first and the last tensor.
  for (const uint64_t cut : {uint64_t{2}, uint64_t{20}, uint64_t{100}, uint64_t{200}, size / 2, size - 1}) {
    tree.write("cut.gguf", std::string_view(*whole).substr(0, cut));
    const auto mapped = File::open(tree.path() / "cut.gguf");
    const auto owned = File::open_header(tree.path() / "cut.gguf", ledger);
    const auto bytes = std::as_bytes(std::span(*whole)).first(cut);
    const auto parsed = File::parse(bytes, (tree.path() / "cut.gguf").string());
    ASSERT_FALSE(mapped || owned || parsed) << cut;
    EXPECT_EQ(mapped.error().message, owned.error().message);
    EXPECT_EQ(mapped.error().message, parsed.error().message);
    EXPECT_EQ(mapped.error().code, ErrorCode::corrupt_file);
  }
  EXPECT_EQ(ledger.usage().total(memory::kHost), 0u);
}

TEST(FileAccess, HeaderOfALargerFile) {
  const FakeTree tree;
  write_model(tree.path() / "m.gguf");
  const auto whole = memory::read_proc_text(tree.path() / "m.gguf");
  ASSERT_TRUE(whole);
  const auto all = std::as_bytes(std::span(*whole));
  const auto header = File::parse_header(all.first(1024), all.size(), "m");
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->tensor("second.0")->data, nullptr);
  EXPECT_EQ(header->tensor("second.0")->bytes, 256u * 64 * 4);
  EXPECT_FALSE(File::parse_header(all.first(1024), all.size() - 1, "m"));
  EXPECT_FALSE(File::parse_header(all.first(64), all.size(), "m"));
}

// A header of 70B size is read within its own pages, whatever follows it.
TEST(FileAccess, LargeModelsAreOpenedByTheirHeader) {
  HeaderBuilder builder;
  std::vector<std::string> texts;
  for (int i = 0; i < 128256; ++i) texts.push_back(fmt::format("token{}", i));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  builder.set("tokenizer.ggml.tokens", views);
  const std::array<uint64_t, 2> shape{8192, 8192};
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(builder.add_tensor(fmt::format("blk.{}.x", i), TensorType::Q4_K, shape));
  }
  const HeaderBuilder::Header header = builder.build();
  ASSERT_GT(header.file_bytes, uint64_t{35} << 30);
  const FakeTree tree;
  const auto path = tree.path() / "big.gguf";
  tree.write("big.gguf", {reinterpret_cast<const char*>(header.bytes.data()), header.bytes.size()});
  // A hole follows: no disk is needed for it.
  std::error_code error;
  std::filesystem::resize_file(path, header.file_bytes, error);
  if (error) GTEST_SKIP() << "no sparse file of this size can be made here: " << error.message();

  // CPU time, since other processes may take turns.
  const std::clock_t start = std::clock();
  const auto file = File::open(path);
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors().size(), 1000u);
  EXPECT_LT(seconds, 0.1);
  const auto mappings = memory::process_mappings();
  ASSERT_TRUE(mappings);
  const uint64_t resident = memory::residency_of(file->mappings()[0].file.bytes(), *mappings).resident;
  EXPECT_GE(resident, header.bytes.size() / 4096 * 4096);
  // The kernel maps up to 64 KiB around a page that is touched.
  EXPECT_LE(resident, header.bytes.size() + (64 << 10) + 4096);
}

TEST(FileAccess, FileCutWhileMappedIsAnErrorNotTheEnd) {
  const FakeTree tree;
  const auto path = tree.path() / "m.gguf";
  write_model(path);
  const auto file = File::open(path);
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->intact());
  std::filesystem::resize_file(path, 4096);
  std::vector<float> values(256 * 64);
  const TensorInfo& tensor = *file->tensor("second.0");
  const auto status = file->read_tensor(tensor, std::as_writable_bytes(std::span(values)));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::corrupt_file);
  EXPECT_NE(status.error().message.find("was cut"), std::string::npos);
  EXPECT_FALSE(file->intact());
}

TEST(FileAccess, FileCutWhileItIsCopiedIsAnError) {
  const FakeTree tree;
  const auto path = tree.path() / "m.gguf";
  write_model(path);
  Ledger ledger;
  const auto file = File::open_header(path, ledger);
  ASSERT_TRUE(file);
  std::filesystem::resize_file(path, 4096);
  std::vector<float> values(256 * 64);
  const auto status = file->read_tensor(*file->tensor("second.0"), std::as_writable_bytes(std::span(values)));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::corrupt_file);
}

}  // namespace
}  // namespace mullama::gguf
