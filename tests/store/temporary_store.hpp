#pragma once

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <string>

#include "gguf/writer.hpp"
#include "store/store.hpp"

namespace mullama::store {

/// A folder of its own for each test, removed at the end.
class TemporaryStore : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "mullama-store-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::filesystem::path folder() const { return folder_; }
  [[nodiscard]] StoreFolders folders() const { return {folder_ / "ours", {folder_ / "theirs"}}; }
  [[nodiscard]] Store store() const { return Store(folders()); }

  /// A small valid GGUF file whose content depends on `seed`.
  void write_gguf(const std::filesystem::path& path, float seed = 1) const {
    std::filesystem::create_directories(path.parent_path());
    auto writer = gguf::Writer::create(path);
    ASSERT_TRUE(writer) << writer.error().message;
    writer->set("general.architecture", "llama");
    writer->set("general.file_type", uint32_t{0});
    writer->set("llama.context_length", uint32_t{2048});
    const std::array<uint64_t, 2> shape{32, 64};
    ASSERT_TRUE(writer->add_tensor("token_embd.weight", gguf::TensorType::F32, shape));
    ASSERT_TRUE(writer->begin());
    const std::vector<float> values(32 * 64, seed);
    ASSERT_TRUE(writer->write(std::as_bytes(std::span(values))));
    const auto finished = writer->finish();
    ASSERT_TRUE(finished) << finished.error().message;
  }

  static void write_file(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string read_file(const std::filesystem::path& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace mullama::store
