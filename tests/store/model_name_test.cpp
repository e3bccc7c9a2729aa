#include "store/model_name.hpp"

#include <gtest/gtest.h>

namespace mullama::store {

TEST(ModelName, DefaultsFillWhatIsMissing) {
  const auto name = ModelName::parse("llama3.2");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->manifest_path(), "registry.ollama.ai/library/llama3.2/latest");
  EXPECT_EQ(name->display(), "llama3.2:latest");
}

TEST(ModelName, AllParts) {
  const std::string digest(64, 'a');
  const auto name = ModelName::parse("localhost:5000/me/model:Q4@sha256:" + digest);
  ASSERT_TRUE(name);
  EXPECT_EQ(name->host, "localhost:5000");
  EXPECT_EQ(name->space, "me");
  EXPECT_EQ(name->model, "model");
  EXPECT_EQ(name->tag, "Q4");
  EXPECT_EQ(name->digest->hex(), digest);
  EXPECT_EQ(name->display(), "localhost:5000/me/model:Q4");
  EXPECT_EQ(ModelName::parse("me/model")->display(), "me/model:latest");
  EXPECT_EQ(ModelName::parse("registry.ollama.ai/library/x:1b")->display(), "x:1b");
}

TEST(ModelName, RefusesWhatCouldLeaveTheStore) {
  for (const char* bad :
       {"", ":", "a:", ":tag", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/b/c/d", ".hidden", "a:..",
        "a:b/c:", "a b", "a\nb", "a\\b", "a@sha256:../../x", "a@", "-x"}) {
    EXPECT_FALSE(ModelName::parse(bad)) << bad;
  }
  EXPECT_FALSE(ModelName::parse(std::string(81, 'a')));
  EXPECT_FALSE(ModelName::parse(std::string("a\0b", 3)));
}

TEST(ModelName, PathsAreToldFromNames) {
  for (const char* path : {"/a", "./a", "../a", "~/a", "a.gguf", "b/a.GGUF"})
    EXPECT_TRUE(is_path(path)) << path;
  for (const char* name : {"a", "a:1b", "a/b", ".gguf"}) EXPECT_FALSE(is_path(name)) << name;
}

}  // namespace mullama::store
