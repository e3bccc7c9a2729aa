#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "store/model_name.hpp"

namespace mullama::store {

/// `hf:organization/repository[:choice][@revision]`: a GGUF file in a repository on Hugging Face.
struct HubAddress {
  static constexpr std::string_view kPrefix = "hf:";
  static constexpr std::string_view kMainRevision = "main";

  std::string repository;  ///< "organization/repository"
  std::string choice;      ///< A file's path, or how it is quantized ("Q4_K_M"); empty: the usual one.
  std::string revision{kMainRevision};

  [[nodiscard]] static bool matches(std::string_view text) { return text.starts_with(kPrefix); }
  [[nodiscard]] static Result<HubAddress> parse(std::string_view text);
  /// The name it has in the store, the same that other tools give it: "hf.co/organization/repository:Q4_K_M".
  [[nodiscard]] Result<ModelName> name() const;
};

/// Where the hub answers, and as whom we ask.
struct HubAccess {
  std::string endpoint = "https://huggingface.co";
  std::string token;

  /// HF_ENDPOINT and HF_TOKEN, as Hugging Face's own tools read them.
  [[nodiscard]] static HubAccess from_environment();
};

/// A model's name as it is typed: an address on the hub, or a name.
[[nodiscard]] Result<ModelName> parse_any_name(std::string_view text);

}  // namespace mullama::store
