#pragma once

#include "text/jinja/interpreter.hpp"

namespace mullama::jinja::filters {

// Of texts and numbers (text_filters.cpp, number_filters.cpp).
Value abs(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value capitalize(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value center(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value escape(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value file_size_format(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value force_escape(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value format(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value indent(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value lower(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value replace(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value round(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value safe(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value string(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value title(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value to_float(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value to_int(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value to_json(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value trim(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value truncate(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value upper(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value url_encode(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value word_count(Interpreter& interpreter, const Value& input, CallArguments& arguments);

// Of sequences and mappings (sequence_filters.cpp, order_filters.cpp).
Value attr(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value batch(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value default_value(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value dict_sort(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value first(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value group_by(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value items(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value join(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value last(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value length(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value list(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value map(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value max(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value min(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value reject(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value reject_attr(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value reverse(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value select(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value select_attr(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value slice(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value sort(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value sum(Interpreter& interpreter, const Value& input, CallArguments& arguments);
Value unique(Interpreter& interpreter, const Value& input, CallArguments& arguments);

}  // namespace mullama::jinja::filters
