#include "store/hub.hpp"

#include <nlohmann/json.hpp>

#include "registry.hpp"
#include "store/pull.hpp"
#include "temporary_store.hpp"

namespace mullama::store {

namespace {

std::string name_of(std::string_view text) {
  const auto name = parse_any_name(text);
  return name ? name->display() : name.error().message;
}

}  // namespace

TEST(HubAddress, Parts) {
  const auto address = HubAddress::parse("hf:Org-1/Some.Repo_2:folder/x-Q4_K_M.gguf@refs/pr/7");
  ASSERT_TRUE(address) << address.error().message;
  EXPECT_EQ(address->repository, "Org-1/Some.Repo_2");
  EXPECT_EQ(address->choice, "folder/x-Q4_K_M.gguf");
  EXPECT_EQ(address->revision, "refs/pr/7");
  EXPECT_EQ(HubAddress::parse("hf:a/b")->revision, "main");
  EXPECT_EQ(name_of("hf:a/b"), "hf.co/a/b:latest");
  EXPECT_EQ(name_of("hf:a/b:Q4_K_M"), "hf.co/a/b:Q4_K_M");
  EXPECT_EQ(name_of("hf:a/b:x/y.gguf@v1"), "hf.co/a/b:x-y-v1");
  EXPECT_EQ(name_of("smollm2:135m"), "smollm2:135m");
}

TEST(HubAddress, RefusesWhatItIsNot) {
  for (const char* text :
       {"hf:", "hf:a", "hf:a/b/c", "hf:/b", "hf:a/", "hf:a/b:", "hf:a/b@", "hf:../b", "hf:a/..",
        "hf:a/b:../x.gguf", "hf:a/b@../x", "hf:a/b@x//y", "hf:a/b c", "hf:a/b?x=1", "hf:a/b:%2e%2e"}) {
    const auto address = HubAddress::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_NE(address.error().message.find("hf:organization/repository"), std::string::npos);
  }
}

class HubTest : public TemporaryStore {
 protected:
  void SetUp() override {
    TemporaryStore::SetUp();
    write_gguf(folder() / "tiny.gguf");
    weights_ = read_file(folder() / "tiny.gguf");
    options_.hub = {registry_.address(), "secret"};
    registry_.redirect_target = storage_.address();
  }

  /// Lists files of org/repo@main and has the other server keep their content.
  void offer(const std::vector<std::string>& paths) {
    auto list = nlohmann::json::array();
    for (const std::string& path : paths) {
      list.push_back({{"type", "file"}, {"path", path}, {"lfs", {{"oid", sha256(weights_).hex()}}}});
      storage_.files["main/" + path] = weights_;
    }
    list.push_back({{"type", "file"}, {"path", "README.md"}});
    list.push_back({{"type", "directory"}, {"path", "folder.gguf"}});
    registry_.hub_lists["org/repo@main"] = list.dump();
  }
  [[nodiscard]] std::string pulled(std::string_view source) const {
    const auto model = pull(store(), source, options_);
    return model ? storage_.seen().back().path : model.error().message;
  }

  Registry registry_;  // the hub
  Registry storage_;   // where it sends who asks for a file
  std::string weights_;
  PullOptions options_;
};

TEST_F(HubTest, AFileByItsQuantization) {
  offer({"m-IQ4_K_M.gguf", "m-Q4_K_M.gguf", "mmproj-m-Q4_K_M.gguf", "sub/m-Q8_0.gguf"});
  const auto model = pull(store(), "hf:org/repo:q8_0", options_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->name, "hf.co/org/repo:q8_0");
  EXPECT_EQ(read_file(model->weights), weights_);
  EXPECT_EQ(store().resolve("hf:org/repo:Q8_0")->weights, model->weights);
  EXPECT_EQ(pulled("hf:org/repo"), "/files/main/m-Q4_K_M.gguf");
  EXPECT_EQ(pulled("hf:org/repo:m-IQ4_K_M.gguf"), "/files/main/m-IQ4_K_M.gguf");
  EXPECT_TRUE(store().remove("hf:org/repo:q8_0"));
  EXPECT_FALSE(store().resolve("hf:org/repo:q8_0"));
}

TEST_F(HubTest, TheTokenStaysWithTheHub) {
  offer({"m.gguf"});
  ASSERT_TRUE(pull(store(), "hf:org/repo", options_));
  for (const auto& seen : registry_.seen()) EXPECT_EQ(seen.authorization, "Bearer secret") << seen.path;
  ASSERT_EQ(storage_.seen().size(), 1u);
  EXPECT_EQ(storage_.seen().front().authorization, "");
  // Addresses on the hub get it too, others do not.
  ASSERT_TRUE(pull(store(), registry_.address() + "/org/repo/resolve/main/m.gguf", options_));
  EXPECT_EQ(registry_.seen().back().authorization, "Bearer secret");
  ASSERT_TRUE(pull(store(), storage_.address() + "/files/main/m.gguf", options_));
  EXPECT_EQ(storage_.seen().back().authorization, "");
  options_.hub.token = "two\r\nlines";
  EXPECT_EQ(pull(store(), "hf:org/repo", options_).error().code, ErrorCode::invalid_argument);
}

TEST_F(HubTest, AWrongChecksumIsThrownAway) {
  offer({"m.gguf"});
  storage_.files["main/m.gguf"][100] ^= 1;
  EXPECT_NE(pulled("hf:org/repo").find("checksum mismatch"), std::string::npos);
  EXPECT_TRUE(store().list()->empty());
  registry_.hub_lists["org/repo@main"] = R"([{"type":"file","path":"m.gguf"}])";
  EXPECT_NE(pulled("hf:org/repo").find("no checksum"), std::string::npos);
}

TEST_F(HubTest, WhatCannotBeChosenIsNamed) {
  offer({"m-Q2_K.gguf", "m-Q3_K_M.gguf"});
  EXPECT_NE(pulled("hf:org/repo").find("has no file Q4_K_M; it has m-Q2_K.gguf, m-Q3_K_M.gguf"),
            std::string::npos);
  offer({"a-Q4_0.gguf", "b-Q4_0.gguf"});
  EXPECT_NE(pulled("hf:org/repo:Q4_0").find("hf:org/repo:FILE"), std::string::npos);
  offer({"m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"});
  EXPECT_NE(pulled("hf:org/repo:Q8_0").find("split into 2 files"), std::string::npos);
  offer({});
  EXPECT_NE(pulled("hf:org/repo").find("no GGUF file"), std::string::npos);
  for (const char* list : {"{}", "no JSON", R"({"error":"x"})"}) {
    registry_.hub_lists["org/repo@main"] = list;
    EXPECT_EQ(pull(store(), "hf:org/repo", options_).error().code, ErrorCode::download) << list;
  }
  registry_.hub_lists["org/repo@main"] = R"([null, 1, {"type":"file"}, {"type":"file","path":7}])";
  EXPECT_NE(pulled("hf:org/repo").find("no GGUF file"), std::string::npos);
}

TEST_F(HubTest, ErrorsSayWhatToDo) {
  EXPECT_EQ(pull(store(), "hf:org/none", options_).error().code, ErrorCode::permission);
  EXPECT_NE(pulled("hf:org/none").find("HF_TOKEN"), std::string::npos);
  options_.hub.endpoint = "http://127.0.0.1:1";  // where nothing answers
  EXPECT_EQ(pull(store(), "hf:org/repo", options_).error().code, ErrorCode::download);
  EXPECT_NE(pulled("hf:org/repo").find("Check the network"), std::string::npos);
}

}  // namespace mullama::store
