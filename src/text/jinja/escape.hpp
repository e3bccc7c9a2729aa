#pragma once

#include <string_view>

#include "text/jinja/text_builder.hpp"

namespace mullama::jinja {

/// Replaces the five characters that mean something in HTML, with the entities markupsafe uses.
void append_html_escaped(TextBuilder& out, std::string_view text);

/// Like std::string_view::find, in time linear in both lengths.
[[nodiscard]] size_t find_text(std::string_view text, std::string_view wanted, size_t from = 0);
[[nodiscard]] size_t find_last_text(std::string_view text, std::string_view wanted);

}  // namespace mullama::jinja
