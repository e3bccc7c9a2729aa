#pragma once

#include <memory>
#include <string>
#include <utility>

#include "text/jinja/interpreter.hpp"

namespace mullama::jinja {

/// Collects what is written until it ends, instead of printing it.
class Interpreter::Capture {
 public:
  explicit Capture(Interpreter& interpreter)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.out_, &text_)) {}
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    interpreter_.output_bytes_ -= text_.size();
    interpreter_.out_ = outer_;
  }

  [[nodiscard]] Value take() {
    interpreter_.output_bytes_ -= text_.size();
    return interpreter_.text(std::exchange(text_, {}));
  }

 private:
  Interpreter& interpreter_;
  std::string text_;
  std::string* outer_;
};

/// Runs code with another function's variables.
class Interpreter::Running {
 public:
  Running(Interpreter& interpreter, std::shared_ptr<Activation> activation)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.activation_, std::move(activation))) {}
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { interpreter_.activation_ = std::move(outer_); }

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Activation> outer_;
};

}  // namespace mullama::jinja
