#pragma once

#include <CLI/App.hpp>
#include <functional>

#include "base/result.hpp"

namespace mullama::cli {

/// What a parsed command line asks for; returns the exit code.
using Action = std::function<Result<int>()>;

/// Each adds its command to `app`; if that command is chosen, parsing sets `action`.
void add_run(CLI::App& app, Action& action);
void add_show(CLI::App& app, Action& action);
void add_list(CLI::App& app, Action& action);
void add_pull(CLI::App& app, Action& action);
void add_create(CLI::App& app, Action& action);
void add_cp(CLI::App& app, Action& action);
void add_rm(CLI::App& app, Action& action);
void add_tokenize(CLI::App& app, Action& action);
void add_embed(CLI::App& app, Action& action);
void add_render(CLI::App& app, Action& action);
void add_serve(CLI::App& app, Action& action);
void add_daemon(CLI::App& app, Action& action);
void add_ps(CLI::App& app, Action& action);
void add_stop(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_perplexity(CLI::App& app, Action& action);
void add_kv_quality(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_completions(CLI::App& app, Action& action);

}  // namespace mullama::cli
