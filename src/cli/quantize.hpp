#pragma once

#include <filesystem>
#include <string_view>

#include "cli/progress.hpp"
#include "quant/quantize_file.hpp"

namespace mullama::cli {

/// The type of a name in any case; an error lists those there are.
[[nodiscard]] Result<quant::FileType> file_type(std::string_view name);

/// quant::quantize_file() with its progress shown; an interrupt cancels it.
[[nodiscard]] Result<quant::QuantizeReport> quantize_with_progress(const std::filesystem::path& in,
                                                                   const std::filesystem::path& out,
                                                                   quant::FileType type,
                                                                   const quant::QuantizeOptions& options,
                                                                   ProgressDisplay& display);

}  // namespace mullama::cli
