#include "store/url.hpp"

#include <gtest/gtest.h>

namespace mullama::store {

TEST(Url, Parts) {
  const auto url = Url::parse("http://me:se%40cret@Example.com/a%20b/c.gguf?x=1#sha256=ab");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->path, "/a%20b/c.gguf");
  EXPECT_EQ(url->credentials, "me:se@cret");
  EXPECT_EQ(url->fragment, "sha256=ab");
  EXPECT_EQ(url->address.find("cret"), std::string::npos);
  EXPECT_EQ(Url::parse("https://h/x")->origin, "https://h:443");
  EXPECT_FALSE(Url::parse("ftp://h/x"));
  EXPECT_FALSE(Url::parse("file:///etc/passwd"));
  EXPECT_FALSE(Url::parse("http://"));
}

TEST(Url, RedirectsDropCredentials) {
  const Url from = *Url::parse("https://me:secret@a.example/x");
  EXPECT_EQ(follow_redirect(from, "https://a.example/y")->credentials, "me:secret");
  EXPECT_EQ(follow_redirect(from, "https://b.example/y")->credentials, "");
  EXPECT_EQ(follow_redirect(from, "https://a.example:444/y")->credentials, "");
  EXPECT_EQ(follow_redirect(from, "https://me:other@b.example/y")->credentials, "");
  Url with_token = *Url::parse("https://a.example/x");
  with_token.token = "t";
  EXPECT_EQ(follow_redirect(with_token, "https://a.example/y")->token, "t");
  EXPECT_EQ(follow_redirect(with_token, "https://b.example/y")->token, "");
  // Neither to an unencrypted address, nor out of HTTP.
  EXPECT_FALSE(follow_redirect(from, "http://a.example/y"));
  EXPECT_FALSE(follow_redirect(from, "file:///etc/passwd"));
}

}  // namespace mullama::store
