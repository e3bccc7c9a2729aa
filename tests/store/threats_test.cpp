// Regression tests named after what has already gone wrong elsewhere.
#include "registry.hpp"
#include "store/http.hpp"
#include "store/pull.hpp"
#include "temporary_store.hpp"

namespace mullama::store {

namespace fs = std::filesystem;

class Threats : public TemporaryStore {
 protected:
  Registry registry_;

  std::string pull_error(const std::string& manifest) {
    registry_.manifests["library/evil:latest"] = manifest;
    const auto model = pull(store(), registry_.address() + "/library/evil", {});
    return model ? "accepted" : model.error().message;
  }
};

TEST_F(Threats, CVE_2024_37032_DigestCannotLeaveStore) {
  for (const std::string digest :
       {"sha256:../../../../../../tmp/evil", "../../x", "sha256:", "sha256-/etc/passwd",
        "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/.."}) {
    const std::string layer =
        R"({"mediaType":"application/vnd.ollama.image.model","digest":")" + digest + R"(","size":4})";
    EXPECT_NE(pull_error(R"({"schemaVersion":2,"layers":[)" + layer + "]}").find("layers[0].digest"),
              std::string::npos);
    EXPECT_NE(pull_error(R"({"schemaVersion":2,"config":)" + layer + R"(,"layers":[)" + layer + "]}")
                  .find("config.digest"),
              std::string::npos);
  }
  // The same from a manifest that already lies in the store.
  write_file(
      folder() / "ours/manifests/registry.ollama.ai/library/evil/latest",
      R"({"schemaVersion":2,"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:../../../x","size":1}]})");
  EXPECT_EQ(store().resolve("evil").error().code, ErrorCode::corrupt_file);
  EXPECT_FALSE(store().remove("../../../evil"));
  EXPECT_FALSE(store().copy("evil", "../x"));
  EXPECT_TRUE(store().list()->empty());
  EXPECT_TRUE(store().remove("evil"));
}

TEST_F(Threats, CVE_2025_1975_NullLayersAreRefused) {
  for (const char* layers : {"null", "[null]", "[1]", "[]", "{}", "[{}]",
                             R"([{"mediaType":null,"digest":null,"size":null}])", R"([[]])", R"("layers")"}) {
    EXPECT_NE(pull_error(std::string(R"({"schemaVersion":2,"layers":)") + layers + "}").find("manifest of"),
              std::string::npos)
        << layers;
  }
  EXPECT_NE(pull_error("null").find("not a JSON object"), std::string::npos);
  EXPECT_NE(pull_error(R"({"schemaVersion":2,"config":[],"layers":[]})").find("config"), std::string::npos);
}

TEST_F(Threats, CVE_2025_51471_CredentialsAreNotSentElsewhere) {
  Registry other;
  other.files["x"] = "content";
  registry_.redirect_target = other.address() + "/files/x";
  HttpRequest request;
  request.url = *Url::parse("http://me:secret@" + registry_.host() + "/redirect");
  request.max_bytes = 100;
  const auto text = http_get_text(request, {});
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(*text, "content");
  EXPECT_EQ(registry_.seen().at(0).authorization.substr(0, 6), "Basic ");
  EXPECT_EQ(other.seen().at(0).authorization, "");

  // Within one server they are kept.
  registry_.files["x"] = "content";
  registry_.redirect_target = "/files/x";
  ASSERT_TRUE(http_get_text(request, {}));
  EXPECT_EQ(registry_.seen().back().path, "/files/x");
  EXPECT_FALSE(registry_.seen().back().authorization.empty());
}

TEST_F(Threats, RedirectsEnd) {
  registry_.redirect_target = "/redirect";
  HttpRequest request;
  request.url = *Url::parse(registry_.address() + "/redirect");
  request.max_bytes = 100;
  EXPECT_NE(http_get_text(request, {}).error().message.find("redirects more than"), std::string::npos);
  registry_.redirect_target = "file:///etc/passwd";
  EXPECT_FALSE(http_get_text(request, {}));
}

TEST_F(Threats, EndlessBodiesAreCut) {
  registry_.files["x"] = std::string(5000, 'x');
  HttpRequest request;
  request.url = *Url::parse(registry_.address() + "/files/x");
  request.max_bytes = 4999;
  EXPECT_NE(http_get_text(request, {}).error().message.find("the limit here"), std::string::npos);
  request.max_bytes = 5000;
  EXPECT_TRUE(http_get_text(request, {}));
  EXPECT_NE(pull_error(std::string(Manifest::kMaxBytes + 1, ' ')).find("the limit here"), std::string::npos);
}

TEST_F(Threats, TextLayersAreBounded) {
  Manifest manifest;
  manifest.layers = {
      Layer{LayerKind::model, std::string(media_type(LayerKind::model)), sha256("a"), 1},
      Layer{LayerKind::system, std::string(media_type(LayerKind::system)), sha256("b"), uint64_t{1} << 40}};
  registry_.blobs[sha256("a").text()] = "a";
  EXPECT_NE(pull_error(manifest.to_json()).find("more than the limit"), std::string::npos);
}

}  // namespace mullama::store
