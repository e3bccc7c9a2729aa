#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/service.hpp"

namespace mullama::server {

/// A service whose answers are scripted, to see what the wire formats make of them and of requests.
class ScriptedService : public Service {
 public:
  std::vector<Delta> deltas;
  std::optional<Error> failure;  // after the deltas
  Summary summary;
  GenerationRequest last;
  EmbedRequest last_embedding;

  class Answer final : public Generation {
   public:
    explicit Answer(ScriptedService& script) : script_(script) {}
    Result<std::optional<Delta>> next() override {
      if (at_ < script_.deltas.size()) return script_.deltas[at_++];
      if (script_.failure) return tl::unexpected<Error>(*script_.failure);
      return std::nullopt;
    }
    const Summary& summary() const override { return script_.summary; }
    const std::string& model() const override { return name_; }

   private:
    ScriptedService& script_;
    size_t at_ = 0;
    std::string name_ = "m:latest";
  };

  Result<std::unique_ptr<Generation>> generate(GenerationRequest request) override {
    last = std::move(request);
    if (last.model == "missing") return fail(ErrorCode::not_found, "model 'missing' not found");
    if (last.model == "busy") return fail(ErrorCode::unavailable, "server busy, please try again");
    return std::make_unique<Answer>(*this);
  }
  Result<Embeddings> embed(EmbedRequest request) override {
    last_embedding = std::move(request);
    Embeddings out;
    out.vectors = {{1.0f, -0.5f}};
    return out;
  }
  Result<std::vector<text::TokenId>> tokenize(const std::string&, std::string_view, bool, bool) override {
    return std::vector<text::TokenId>{};
  }
  Result<std::string> detokenize(const std::string&, const std::vector<text::TokenId>&) override {
    return "";
  }
  Result<std::string> token_piece(const std::string&, text::TokenId) override { return ""; }
  Result<std::string> apply_template(const std::string&, const text::ChatInput&) override { return ""; }
  Result<uint32_t> count_tokens(const std::string&, const text::ChatInput&) override { return 11; }
  Result<std::vector<store::ModelEntry>> list() override { return std::vector<store::ModelEntry>{}; }
  Result<ModelDescription> show(const std::string&) override { return fail(ErrorCode::not_found, "none"); }
  std::vector<RunningModel> running() override { return {}; }
  Status load(const std::string&, std::optional<KeepAlive>, std::optional<uint32_t>) override { return {}; }
  Status unload(const std::string&) override { return {}; }
  std::string default_model() override { return "m"; }
  const store::Store& store() override { return store_; }
  Result<memory::Reservation> reserve_file_buffer() override { return memory::Reservation(); }

 private:
  store::Store store_{store::StoreFolders{}};
};

}  // namespace mullama::server
