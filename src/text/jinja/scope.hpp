#pragma once

#include "text/jinja/ast.hpp"

namespace mullama::jinja {

/// Gives every name of a template its place and every filter and test its function.
///
/// jinja2 compiles a template to Python functions and decides there, before anything runs, which scope a name
/// belongs to; real templates depend on its rules. They are: a frame (root, loop body, macro, set block, ...)
/// owns the names it assigns; such a name starts as the enclosing frame's value if that frame knows the name,
/// as the context's if the frame reads it before assigning or assigns it only in branches, and as undefined
/// otherwise. A name that is only read is the enclosing frame's, or else the context's as it is when the
/// frame is entered.
///
/// Fails with TemplateAssertionError for unknown filters and tests outside branches, and for misplaced loop
/// controls.
void resolve_names(Program& program);

}  // namespace mullama::jinja
