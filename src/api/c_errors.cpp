#include <cstdlib>

#include "api/c_api.hpp"

namespace mullama::c_api {

namespace {

std::string& last_error() {
  thread_local std::string message;
  return message;
}

}  // namespace

mullama_status failed(mullama_status status, const char* message) noexcept {
  try {
    last_error() = message;
  } catch (...) {
    last_error().clear();
  }
  return status;
}

void forget_error() noexcept {
  last_error().clear();
}

void invalid(const char* message) {
  throw mullama::MullamaError(mullama::StatusCode::invalid_argument, message);
}

void unsupported(const char* message) {
  throw mullama::MullamaError(mullama::StatusCode::unsupported, message);
}

void require(const void* pointer, const char* name) {
  if (pointer == nullptr) invalid((std::string(name) + " is NULL").c_str());
}

std::string text_or_empty(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

char* copy_text(const std::string& text) {
  auto* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

}  // namespace mullama::c_api

extern "C" const char* mullama_last_error(void) {
  return mullama::c_api::last_error().c_str();
}
