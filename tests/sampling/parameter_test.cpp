#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "sampling/parameter_table.hpp"

namespace mullama::sampling {
namespace {

std::string message(const Status& status) {
  return status ? "" : status.error().message;
}

TEST(Parameters, DefaultsAreValidAndRoundTrip) {
  SamplerParams params;
  ASSERT_TRUE(validate(params, 100)) << message(validate(params, 100));
  params.seed = 18446744073709551615u;
  params.logit_bias = {{3, -1.5f}, {7, -std::numeric_limits<float>::infinity()}};
  params.dry_sequence_breakers = {"\n", ",", "\\", "end"};
  params.temperature = 0.1f;
  SamplerParams copy;
  for (const ParameterInfo& info : parameters()) {
    const auto status = set_text(copy, info.name, format_parameter(params, info));
    EXPECT_TRUE(status) << info.name << ": " << message(status);
    EXPECT_EQ(format_parameter(copy, info), format_parameter(params, info));
    EXPECT_FALSE(info.doc.empty());
  }
  EXPECT_EQ(copy.seed, params.seed);
  EXPECT_EQ(copy.temperature, params.temperature);
  EXPECT_EQ(copy.logit_bias, params.logit_bias);
  EXPECT_EQ(copy.dry_sequence_breakers, params.dry_sequence_breakers);
  EXPECT_EQ(copy.order, params.order);
}

TEST(Parameters, ValuesAsJsonGivesThem) {
  SamplerParams params;
  EXPECT_TRUE(set(params, "top_k", int64_t{7}));
  EXPECT_EQ(params.top_k, 7);
  EXPECT_TRUE(set(params, "top_k", 8.0));
  EXPECT_EQ(params.top_k, 8);
  EXPECT_TRUE(set(params, "temperature", int64_t{1}));
  EXPECT_EQ(params.temperature, 1.0f);
  EXPECT_TRUE(set(params, "seed", int64_t{5}));
  EXPECT_EQ(params.seed, 5u);
  EXPECT_TRUE(set(params, "seed", int64_t{-1}));
  EXPECT_FALSE(params.seed);
  EXPECT_TRUE(set(params, "dry_sequence_breakers", std::vector<std::string>{"x"}));
  EXPECT_TRUE(set(params, "samplers", std::string("temp;top-k")));
  EXPECT_EQ(format_order(params.order), "logit_bias;temperature;top_k");
}

TEST(Parameters, ErrorsNameTheOption) {
  SamplerParams params;
  EXPECT_EQ(message(set(params, "top_k", std::string("x"))), "option \"top_k\" must be of type integer");
  EXPECT_EQ(message(set(params, "top_k", 1.5)), "option \"top_k\" must be of type integer");
  EXPECT_EQ(message(set(params, "top_k", 1e300)), "option \"top_k\" must be of type integer");
  EXPECT_EQ(message(set(params, "top_k", std::nan(""))), "option \"top_k\" must be of type integer");
  EXPECT_EQ(message(set(params, "top_p", true)), "option \"top_p\" must be of type number");
  EXPECT_EQ(message(set(params, "top_p", std::nan(""))), "option \"top_p\" must be between 0 and 1, not nan");
  EXPECT_EQ(message(set(params, "samplers", int64_t{1})), "option \"samplers\" must be of type string");
  EXPECT_EQ(message(set(params, "dry_sequence_breakers", std::string("x"))),
            "option \"dry_sequence_breakers\" must be of type list of strings");
  EXPECT_EQ(message(set_text(params, "temperature", "hot")), "option \"temperature\" must be of type number");
  EXPECT_EQ(message(set_text(params, "top_k", "4.5")), "option \"top_k\" must be of type integer");
  EXPECT_EQ(message(set_text(params, "top_k", "")), "option \"top_k\" must be of type integer");
  EXPECT_EQ(message(set_text(params, "mirostat", "3")), "option \"mirostat\" must be between 0 and 2, not 3");
  EXPECT_EQ(message(set_text(params, "temprature", "1")),
            "unknown option \"temprature\"; did you mean \"temperature\"?");
  EXPECT_EQ(message(set_text(params, "frobnication", "1")), "unknown option \"frobnication\"");
  EXPECT_EQ(set_text(params, "frobnication", "1").error().code, ErrorCode::not_found);
  EXPECT_NE(message(set_text(params, "logit_bias", "5")), "");
  EXPECT_NE(message(set_text(params, "logit_bias", "-5=1")), "");
  EXPECT_NE(message(set_text(params, "logit_bias", "5=nan")), "");
  EXPECT_NE(message(set_text(params, "dry_sequence_breakers", "a\\")), "");
}

// threats.md: "every request number has a type and a range".
TEST(Threats, CVE_2026_21869_NegativeTokenCounts) {
  SamplerParams params;
  for (const char* name : {"repeat_last_n", "dry_penalty_last_n", "top_k", "n_probs"}) {
    EXPECT_FALSE(set(params, name, int64_t{-2})) << name;
    EXPECT_FALSE(set(params, name, std::numeric_limits<int64_t>::min())) << name;
    EXPECT_FALSE(set(params, name, std::numeric_limits<int64_t>::max())) << name;
  }
  params.repeat_last_n = -7;
  params.top_k = std::numeric_limits<int32_t>::min();
  params.min_keep = -1;
  const std::string text = message(validate(params, 10));
  for (const char* name : {"repeat_last_n", "top_k", "min_keep"})
    EXPECT_NE(text.find(name), std::string::npos) << text;
}

TEST(Validate, NamesEachBadField) {
  SamplerParams params;
  params.temperature = std::nanf("");
  params.top_p = 1.5f;
  params.repeat_penalty = 0.0f;
  params.mirostat_tau = std::numeric_limits<float>::infinity();
  params.n_probs = 21;
  params.logit_bias = {{10, 0.0f}, {2, std::nanf("")}};
  params.order = {SamplerKind::top_k, SamplerKind::top_k};
  params.dry_sequence_breakers = {""};
  const std::string text = message(validate(params, 10));
  for (const char* name : {"temperature", "top_p", "repeat_penalty", "mirostat_tau", "n_probs", "token 10",
                           "token 2", "top_k\" twice", "dry_sequence_breakers"}) {
    EXPECT_NE(text.find(name), std::string::npos) << name << " in " << text;
  }
  EXPECT_FALSE(validate(SamplerParams{}, 0));
}

TEST(Order, IsReadFromText) {
  const auto order = parse_order("penalties;dry;top_k;typ_p;top_p;min_p;xtc;temperature");
  ASSERT_TRUE(order);
  EXPECT_EQ(*order, default_order());
  EXPECT_EQ(format_order(*parse_order(" top_k , temperature ")), "logit_bias;top_k;temperature");
  EXPECT_EQ(format_order(*parse_order("top_k;logit_bias")), "top_k;logit_bias");
  EXPECT_EQ(format_order(*parse_order("")), "logit_bias");
  const auto unknown = parse_order("top_k;top_q");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("\"top_q\""), std::string::npos);
  EXPECT_NE(unknown.error().message.find("typical"), std::string::npos);
  EXPECT_FALSE(parse_order("top_k;;top_p"));
  EXPECT_FALSE(parse_order("top_k;top-k"));
  EXPECT_FALSE(parse_order("top_k;"));
}

}  // namespace
}  // namespace mullama::sampling
