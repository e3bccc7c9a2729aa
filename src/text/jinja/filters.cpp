#include "text/jinja/filters.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "text/jinja/filter_functions.hpp"

namespace mullama::jinja {
namespace {

constexpr std::array<std::pair<std::string_view, FilterFunction>, 48> kFilters = {{
    {"abs", filters::abs},
    {"attr", filters::attr},
    {"batch", filters::batch},
    {"capitalize", filters::capitalize},
    {"center", filters::center},
    {"count", filters::length},
    {"d", filters::default_value},
    {"default", filters::default_value},
    {"dictsort", filters::dict_sort},
    {"e", filters::escape},
    {"escape", filters::escape},
    {"filesizeformat", filters::file_size_format},
    {"first", filters::first},
    {"float", filters::to_float},
    {"forceescape", filters::force_escape},
    {"format", filters::format},
    {"groupby", filters::group_by},
    {"indent", filters::indent},
    {"int", filters::to_int},
    {"items", filters::items},
    {"join", filters::join},
    {"last", filters::last},
    {"length", filters::length},
    {"list", filters::list},
    {"lower", filters::lower},
    {"map", filters::map},
    {"max", filters::max},
    {"min", filters::min},
    {"reject", filters::reject},
    {"rejectattr", filters::reject_attr},
    {"replace", filters::replace},
    {"reverse", filters::reverse},
    {"round", filters::round},
    {"safe", filters::safe},
    {"select", filters::select},
    {"selectattr", filters::select_attr},
    {"slice", filters::slice},
    {"sort", filters::sort},
    {"string", filters::string},
    {"sum", filters::sum},
    {"title", filters::title},
    {"tojson", filters::to_json},
    {"trim", filters::trim},
    {"truncate", filters::truncate},
    {"unique", filters::unique},
    {"upper", filters::upper},
    {"urlencode", filters::url_encode},
    {"wordcount", filters::word_count},
}};

}  // namespace

FilterFunction find_filter(std::string_view name) {
  const auto* found = std::find_if(kFilters.begin(), kFilters.end(),
                                   [name](const auto& entry) { return entry.first == name; });
  return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace mullama::jinja
