#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cli/local_session.hpp"

namespace mullama::cli {

/// "label:", aligned, its value and a line end.
[[nodiscard]] std::string label_line(std::string_view label, const std::string& value);
/// The lines of an answer's timings, its seed last.
[[nodiscard]] std::string timing_text(const GenerateResult& result, double load_seconds,
                                      double total_seconds);
[[nodiscard]] std::string receipt_text(const Receipt& receipt);
/// Ollama's fields of a finished generation, our seed and receipt.
[[nodiscard]] nlohmann::json answer_fields(const Answer& answer, const std::string& model,
                                           double load_seconds);

/// The timing block of `--verbose`, then the memory block.
[[nodiscard]] std::string statistics_text(const LocalSession& session, const Answer& answer);

/// The answer as one JSON object: Ollama's fields of a finished generation, and `memory`.
[[nodiscard]] nlohmann::json answer_json(const LocalSession& session, const Answer& answer);

}  // namespace mullama::cli
