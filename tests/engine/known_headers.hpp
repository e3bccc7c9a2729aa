#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <string_view>

#include "engine/known_shapes.hpp"
#include "engine/plan.hpp"

namespace mullama::engine::test {

/// A shape as a file would declare it, without the file.
struct Shaped {
  gguf::HeaderBuilder::Header header;
  gguf::File file;
  model::Definition definition;
};

inline Result<std::unique_ptr<Shaped>> make(const KnownShape& shape, quant::FileType type) {
  auto shaped = std::make_unique<Shaped>();
  MULLAMA_ASSIGN(shaped->header, build_header(shape, type));
  MULLAMA_ASSIGN(shaped->file, gguf::File::parse_header(shaped->header.bytes, shaped->header.file_bytes,
                                                        std::string(shape.name)));
  MULLAMA_ASSIGN(shaped->definition, model::define(shaped->file));
  return shaped;
}

inline std::unique_ptr<Shaped> known(std::string_view name, quant::FileType type = quant::FileType::Q4_K_M) {
  const auto shape = find_known_shape(name);
  EXPECT_TRUE(shape);
  auto shaped = make(**shape, type);
  EXPECT_TRUE(shaped) << shaped.error().message;
  return std::move(*shaped);
}

}  // namespace mullama::engine::test
