#pragma once

#include <deque>
#include <exception>

#include "api/impl.hpp"

namespace mullama {

struct TokenStream::Impl {
  /// Hands the request to the context's engine.
  static std::unique_ptr<Impl> start(std::shared_ptr<Context::Impl> context, engine::Request request);
  ~Impl();

  /// Runs one step of the engine, and keeps what came of it.
  void step();
  void stop();
  void grow_if_full();

  std::shared_ptr<Context::Impl> context;
  engine::RequestId id = 0;
  std::deque<StreamToken> waiting;
  bool ended = false;
  std::optional<Error> error;  ///< Of the answer; thrown once.
  Receipt grown;               ///< Its growths alone.
  bool growth_refused = false;
  uint32_t prompt_tokens = 0;  ///< Of a conversation, whose start the context may hold; else 0.
  GenerateResult result;
  std::vector<engine::Event> events;
  api::Counted<api::StreamTag> alive;
};

namespace api {

/// Takes a stream to its end; `on_token` returning false stops it.
GenerateResult run(TokenStream stream, const std::function<bool(const StreamToken&)>& on_token);

}  // namespace api
}  // namespace mullama
