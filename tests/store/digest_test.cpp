#include "store/digest.hpp"

#include <gtest/gtest.h>

namespace mullama::store {

TEST(Digest, KnownValues) {
  EXPECT_EQ(sha256("").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 pieces;
  pieces.update("a");
  pieces.update("bc");
  EXPECT_EQ(pieces.finish(), sha256("abc"));
}

TEST(Digest, TextsRoundTrip) {
  const Digest digest = sha256("abc");
  EXPECT_EQ(*Digest::parse(digest.text()), digest);
  EXPECT_EQ(*Digest::parse(digest.file_name()), digest);
  EXPECT_EQ(digest.short_id(), "ba7816bf8f01");
}

TEST(Digest, RefusesEverythingElse) {
  const std::string hex = sha256("abc").hex();
  EXPECT_FALSE(Digest::parse(hex));
  EXPECT_FALSE(Digest::parse("sha256:"));
  EXPECT_FALSE(Digest::parse("sha256"));
  EXPECT_FALSE(Digest::parse("sha512:" + hex));
  EXPECT_FALSE(Digest::parse("sha256:" + hex + "0"));
  EXPECT_FALSE(Digest::parse("sha256:" + hex.substr(1)));
  EXPECT_FALSE(Digest::parse("sha256:" + hex.substr(1) + "g"));
}

}  // namespace mullama::store
