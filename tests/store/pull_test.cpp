#include "store/pull.hpp"

#include "registry.hpp"
#include "store/details.hpp"
#include "temporary_store.hpp"

namespace mullama::store {

namespace fs = std::filesystem;

class PullTest : public TemporaryStore {
 protected:
  void SetUp() override {
    TemporaryStore::SetUp();
    write_gguf(folder() / "tiny.gguf");
    weights_ = read_file(folder() / "tiny.gguf");
    options_.progress = [this](const Progress& progress) { reports_.push_back(progress); };
  }

  /// Offers library/tiny:latest with a system text.
  void offer_tiny() {
    Manifest manifest;
    manifest.layers = {registry_.add(LayerKind::model, weights_),
                       registry_.add(LayerKind::system, "Be kind.")};
    manifest.config = registry_.add(LayerKind::other, "{}");
    registry_.manifests["library/tiny:latest"] = manifest.to_json();
  }
  [[nodiscard]] std::string tiny() const { return registry_.address() + "/library/tiny"; }

  Registry registry_;
  std::string weights_;
  PullOptions options_;
  std::vector<Progress> reports_;
};

TEST_F(PullTest, RegistryModelWithProgress) {
  offer_tiny();
  const Store models = store();
  const auto model = pull(models, tiny(), options_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(read_file(model->weights), weights_);
  EXPECT_EQ(read_texts(*model)->system, "Be kind.");
  EXPECT_EQ(model->name, registry_.host() + "/library/tiny:latest");
  EXPECT_EQ(reports_.front().status, "pulling manifest");
  // That it is done, the result says.
  EXPECT_EQ(reports_.back().status, "writing manifest");
  const auto last_bytes =
      std::ranges::find_if(reports_, [&](const Progress& p) { return p.completed == weights_.size(); });
  ASSERT_NE(last_bytes, reports_.end());
  EXPECT_EQ(last_bytes->total, weights_.size());

  // A second pull asks for the manifest only.
  const size_t requests = registry_.seen().size();
  ASSERT_TRUE(pull(models, tiny(), options_));
  EXPECT_EQ(registry_.seen().size(), requests + 1);
}

TEST_F(PullTest, InterruptedBlobGoesOn) {
  offer_tiny();
  const Store models = store();
  const fs::path partial = models.blob_path(sha256(weights_)).string() + "-partial";
  write_file(partial, weights_.substr(0, 3000));
  const auto model = pull(models, tiny(), options_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(read_file(model->weights), weights_);
  EXPECT_EQ(registry_.seen().at(1).range, "bytes=3000-");
  EXPECT_FALSE(fs::exists(partial));
}

TEST_F(PullTest, CorruptBlobIsThrownAwayAndNamed) {
  offer_tiny();
  registry_.blobs[sha256(weights_).text()][100] ^= 1;
  const Store models = store();
  const auto model = pull(models, tiny(), options_);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::download);
  EXPECT_NE(model.error().message.find("checksum mismatch"), std::string::npos);
  EXPECT_TRUE(models.list()->empty());
  EXPECT_TRUE(fs::is_empty(folder() / "ours/blobs"));
}

TEST_F(PullTest, ShorterOrLongerThanAnnounced) {
  offer_tiny();
  const Store models = store();
  registry_.blobs[sha256(weights_).text()] = weights_.substr(0, 2000);
  EXPECT_NE(pull(models, tiny(), options_).error().message.find("ended after 2000"), std::string::npos);
  registry_.blobs[sha256(weights_).text()] = weights_ + "x";
  EXPECT_EQ(pull(models, tiny(), options_).error().code, ErrorCode::download);
}

TEST_F(PullTest, MissingModel) {
  const auto model = pull(store(), tiny(), options_);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::not_found);
}

TEST_F(PullTest, PlainFileByHttp) {
  registry_.files["My Model.gguf"] = weights_;
  const Store models = store();
  const std::string address = registry_.address() + "/files/My%20Model.gguf";
  options_.name = "mine:1";
  const auto model = pull(models, address + "#sha256=" + sha256(weights_).hex(), options_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->name, "mine:1");
  EXPECT_EQ(read_file(model->weights), weights_);
  const auto wrong = pull(models, address + "#sha256=" + sha256("else").hex(), options_);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("checksum mismatch"), std::string::npos);
  EXPECT_EQ(pull(models, registry_.address() + "/files/none.gguf", options_).error().code,
            ErrorCode::not_found);
  EXPECT_TRUE(fs::is_empty(models.staging_path()));
}

TEST_F(PullTest, PlainFileThatIsNoModel) {
  registry_.files["x.gguf"] = "<html>not a model</html>";
  const Store models = store();
  EXPECT_EQ(pull(models, registry_.address() + "/files/x.gguf", options_).error().code,
            ErrorCode::corrupt_file);
  EXPECT_TRUE(models.list()->empty());
}

TEST_F(PullTest, PlainFileGoesOnOnlyIfUnchanged) {
  registry_.files["x.gguf"] = weights_;
  const Store models = store();
  const std::string address = registry_.address() + "/files/x.gguf";
  const fs::path staged = models.staging_path() / ("url-" + sha256(address).hex() + ".partial");
  write_file(staged, weights_.substr(0, 3000));
  write_file(staged.string() + ".validator", registry_.etag);
  auto model = pull(models, address, options_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(registry_.seen().back().range, "bytes=3000-");

  // Without the validator of the beginning, the rest could belong to another file.
  ASSERT_TRUE(models.remove("x"));
  write_file(staged, std::string(3000, 'z'));
  model = pull(models, address, options_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(registry_.seen().back().range, "");
  EXPECT_EQ(read_file(model->weights), weights_);
}

TEST_F(PullTest, LocalFile) {
  const auto model = pull(store(), "file://" + (folder() / "tiny.gguf").string(), options_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->name, "tiny:latest");
  EXPECT_FALSE(pull(store(), "file://relative.gguf", options_));
  EXPECT_EQ(pull(store(), "file:///nowhere/x.gguf", options_).error().code, ErrorCode::not_found);
}

TEST_F(PullTest, CancelKeepsNothingUnderTheName) {
  offer_tiny();
  const Store models = store();
  options_.canceled = [] { return true; };
  EXPECT_EQ(pull(models, tiny(), options_).error().code, ErrorCode::canceled);
  EXPECT_TRUE(models.list()->empty());
}

TEST_F(PullTest, CredentialsReachTheirServerAndNoName) {
  registry_.files["x.gguf"] = weights_;
  const auto model = pull(store(), "http://me:secret@" + registry_.host() + "/files/x.gguf", options_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(registry_.seen().back().authorization.substr(0, 6), "Basic ");
  EXPECT_EQ(model->name, "x:latest");
}

TEST_F(PullTest, NamesThatCannotBePulledHere) {
  EXPECT_NE(pull(store(), "./x.gguf", options_).error().message.find("needs no pull"), std::string::npos);
  EXPECT_EQ(pull(store(), "a b", options_).error().code, ErrorCode::invalid_argument);
}

}  // namespace mullama::store
