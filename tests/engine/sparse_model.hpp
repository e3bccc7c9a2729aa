#pragma once

#include <filesystem>
#include <fstream>

#include "engine/known_shapes.hpp"

namespace mullama::engine::test {

/// A model of about 50 MB in Q8_0, large enough that its weights show in the process's memory; each step
/// reads all of them.
inline constexpr KnownShape kMiddling{.name = "middling",
                                      .architecture = "llama",
                                      .layers = 6,
                                      .embedding = 768,
                                      .heads = 12,
                                      .kv_heads = 4,
                                      .head_length = 64,
                                      .feed_forward = 2048,
                                      .vocabulary = 8192,
                                      .context = 8192,
                                      .tied = true};

/// One that computes a long prompt in a fraction of a second.
inline constexpr KnownShape kSmall{.name = "small",
                                   .architecture = "llama",
                                   .layers = 1,
                                   .embedding = 512,
                                   .heads = 8,
                                   .kv_heads = 4,
                                   .head_length = 64,
                                   .feed_forward = 1536,
                                   .vocabulary = 2048,
                                   .context = 8192,
                                   .tied = true};

/// Writes a file of that shape whose weights are a hole: all zeros, on no disk, but pages like any others
/// once they are read.
inline Status write_sparse_model(const std::filesystem::path& path, const KnownShape& shape,
                                 quant::FileType type) {
  MULLAMA_ASSIGN(const gguf::HeaderBuilder::Header header, build_header(shape, type));
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(header.bytes.data()),
             static_cast<std::streamsize>(header.bytes.size()));
  file.close();
  if (!file) return fail(ErrorCode::io, "cannot write '{}'", path.string());
  std::error_code error;
  std::filesystem::resize_file(path, header.file_bytes, error);
  if (error) return fail(ErrorCode::io, "cannot extend '{}': {}", path.string(), error.message());
  return {};
}

}  // namespace mullama::engine::test
