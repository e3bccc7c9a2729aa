#include "store/manifest.hpp"

#include <gtest/gtest.h>

namespace mullama::store {

namespace {

const std::string kHex(64, 'a');

std::string with_layer(const std::string& layer) {
  return R"({"schemaVersion":2,"layers":[)" + layer + "]}";
}

std::string error_of(const std::string& text) {
  const auto manifest = Manifest::parse(text, "x");
  return manifest ? "accepted" : manifest.error().message;
}

}  // namespace

TEST(Manifest, RoundTrip) {
  Manifest manifest;
  manifest.layers.push_back(
      {LayerKind::model, std::string(media_type(LayerKind::model)), sha256("weights"), 7});
  manifest.layers.push_back({LayerKind::other, "application/vnd.example", sha256("more"), 4});
  manifest.config = Layer{LayerKind::other, "", sha256("config"), 6};
  const auto again = Manifest::parse(manifest.to_json(), "x");
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_EQ(again->layers.size(), 2u);
  EXPECT_EQ(again->find(LayerKind::model)->digest, sha256("weights"));
  EXPECT_EQ(again->layers[1].media_type, "application/vnd.example");
  EXPECT_EQ(again->total_bytes(), 17u);
}

TEST(Manifest, ReadsOneWrittenByOllama) {
  const auto manifest = Manifest::parse(
      R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
          "config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"sha256:)" +
          kHex + R"(","size":561},
          "layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:)" +
          kHex + R"(","size":1321082688,"from":"/x"},
                    {"mediaType":"application/vnd.ollama.image.template","digest":"sha256:)" +
          kHex + R"(","size":1429}]})",
      "llama3.2:1b");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->find(LayerKind::model)->size, 1321082688u);
  EXPECT_NE(manifest->find(LayerKind::chat_template), nullptr);
}

TEST(Manifest, ErrorsNameTheField) {
  EXPECT_NE(error_of("[]").find("not a JSON object"), std::string::npos);
  EXPECT_NE(error_of("{").find("not a JSON object"), std::string::npos);
  EXPECT_NE(error_of(R"({"schemaVersion":1,"layers":[]})").find("schemaVersion"), std::string::npos);
  EXPECT_NE(error_of(R"({"schemaVersion":2,"layers":[]})").find("'layers' is empty"), std::string::npos);
  EXPECT_NE(error_of(R"({"schemaVersion":2,"layers":{}})").find("'layers' is not an array"),
            std::string::npos);
  EXPECT_NE(error_of(with_layer(R"({"mediaType":"a","digest":"sha256:)" + kHex + R"(","size":-1})"))
                .find("layers[0].size"),
            std::string::npos);
  EXPECT_NE(error_of(with_layer(R"({"mediaType":"a","digest":"sha256:)" + kHex + R"(","size":1e30})"))
                .find("layers[0].size"),
            std::string::npos);
  EXPECT_NE(
      error_of(with_layer(R"({"mediaType":"a","digest":"sha256:)" + kHex + R"("})")).find("layers[0].size"),
      std::string::npos);
  EXPECT_NE(
      error_of(with_layer(R"({"digest":"sha256:)" + kHex + R"(","size":1})")).find("layers[0].mediaType"),
      std::string::npos);
}

TEST(Manifest, LimitsHold) {
  std::string many;
  for (size_t i = 0; i <= Manifest::kMaxLayers; ++i) many += std::string(i == 0 ? "" : ",") + "1";
  EXPECT_NE(error_of(with_layer(many)).find("too many"), std::string::npos);
  EXPECT_NE(error_of(std::string(Manifest::kMaxBytes + 1, ' ')).find("too long"), std::string::npos);
  EXPECT_NE(error_of(std::string(100000, '[')).find("not a JSON object"), std::string::npos);
}

}  // namespace mullama::store
