#include "cli/npy_file.hpp"

#include <array>
#include <fstream>
#include <gtest/gtest.h>

namespace mullama::cli {

namespace {

namespace fs = std::filesystem;

class NpyTest : public ::testing::Test {
 protected:
  NpyTest() : path_(fs::temp_directory_path() / fmt::format("mullama-npy-{}.npy", ::getpid())) {}
  ~NpyTest() override { fs::remove(path_); }

  fs::path path_;
};

}  // namespace

TEST_F(NpyTest, RoundTrip) {
  {
    auto writer = NpyWriter::create(path_, 2, 3);
    ASSERT_TRUE(writer) << writer.error().message;
    ASSERT_TRUE(writer->append(std::array<float, 3>{1, 2, 3}));
    ASSERT_TRUE(writer->append(std::array<float, 3>{4, 5, 6}));
    ASSERT_TRUE(writer->finish());
  }
  const auto reader = NpyReader::open(path_);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(reader->rows(), 2u);
  EXPECT_EQ(reader->columns(), 3u);
  EXPECT_EQ(reader->row(1)[2], 6);
}

TEST_F(NpyTest, AnUnfinishedFileLeavesNothing) {
  { ASSERT_TRUE(NpyWriter::create(path_, 2, 3)); }
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_FALSE(fs::exists(path_.string() + ".partial"));
}

TEST_F(NpyTest, RefusesOtherFiles) {
  const auto refuses = [&](const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    return !NpyReader::open(path_);
  };
  const std::string good("\x93NUMPY\x01\x00\x46\x00", 10);
  const std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }       \n  \n";
  ASSERT_EQ(text.size(), 70u);
  EXPECT_FALSE(refuses(good + text + "abcd"));
  EXPECT_TRUE(refuses(""));
  EXPECT_TRUE(refuses("GGUF, or so it seems"));
  EXPECT_TRUE(refuses(good + text + "abcde"));
  EXPECT_TRUE(refuses(good + text.substr(0, 60)));
  EXPECT_TRUE(refuses(good + "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }       \n  \nabcd"));
  EXPECT_TRUE(refuses(
      good +
      "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808, 4611686018427387904), }"));
}

}  // namespace mullama::cli
