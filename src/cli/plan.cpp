#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/byte_size.hpp"
#include "cli/command.hpp"
#include "cli/engine_options.hpp"
#include "cli/format.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"
#include "engine/fit.hpp"
#include "engine/known_shapes.hpp"
#include "memory/available.hpp"
#include "memory/budget.hpp"

namespace mullama::cli {

namespace {

using memory::Pool;
using nlohmann::json;

struct PlanArguments {
  std::string model;
  std::string shape;
  std::string quantization = "Q4_K_M";
  uint32_t parallel = 1;
  bool fit = false;
  bool as_json = false;
  EngineArguments engine;
};

/// A model to plan: a file on disk, or the header that a known shape would have.
struct Subject {
  std::string name;
  gguf::HeaderBuilder::Header header;
  gguf::File file;
  model::Definition definition;
};

struct Settings {
  engine::LoadParams load;
  engine::ContextParams context;
  memory::Ledger ledger;  // empty but for the budget
};

/// All that is printed of one model.
struct Report {
  const Subject* subject;
  engine::ContextParams context;
  engine::Plan plan;
  memory::Available available;
  std::optional<uint64_t> budget;
  bool fits = false;
  bool streams = false;  // the mapped weights do not stay in memory
  std::vector<engine::Alternative> alternatives;
};

Result<std::unique_ptr<Subject>> open_file(const std::string& name) {
  MULLAMA_ASSIGN(const store::StoredModel model, find_model(name, true));
  auto subject = std::make_unique<Subject>();
  subject->name = model.name;
  MULLAMA_ASSIGN(subject->file, gguf::File::open(model.weights));
  MULLAMA_ASSIGN(subject->definition, model::define(subject->file));
  return subject;
}

Result<std::unique_ptr<Subject>> make_shape(const engine::KnownShape& shape, quant::FileType type) {
  auto subject = std::make_unique<Subject>();
  subject->name = fmt::format("{} {}", shape.name, quant::info(type).name);
  MULLAMA_ASSIGN(subject->header, engine::build_header(shape, type));
  MULLAMA_ASSIGN(subject->file, gguf::File::parse_header(subject->header.bytes, subject->header.file_bytes,
                                                         std::string(shape.name)));
  MULLAMA_ASSIGN(subject->definition, model::define(subject->file));
  return subject;
}

Result<kernels::KvType> kernel_type(KvCacheType type) {
  return kernels::kv_type_from_name(to_string(type));
}

Result<Settings> settle(const PlanArguments& arguments) {
  MULLAMA_ASSIGN(const EngineParams params, resolve(arguments.engine, {}));
  Settings settings;
  settings.load.use_mmap = params.model.use_mmap;
  settings.load.use_mlock = params.model.use_mlock;
  settings.load.backend.threads = params.model.n_threads;
  settings.context.n_ctx = params.context.n_ctx;
  settings.context.n_batch = params.context.n_batch;
  settings.context.n_sequences = arguments.parallel;
  settings.context.rotate = params.context.kv_rotate;
  settings.context.lookup = params.context.lookup;
  MULLAMA_ASSIGN(settings.context.key_type, kernel_type(params.context.kv_cache_type));
  MULLAMA_ASSIGN(settings.context.value_type,
                 kernel_type(params.context.kv_cache_type_v.value_or(params.context.kv_cache_type)));
  MULLAMA_ASSIGN(const memory::BudgetRequest budget, memory::parse_budget(params.memory_budget));
  MULLAMA_TRY(memory::apply_budget(settings.ledger, budget));
  return settings;
}

Result<Report> report_on(const Subject& subject, const Settings& settings, bool fit) {
  Report report;
  report.subject = &subject;
  report.context = settings.context;
  MULLAMA_ASSIGN(const engine::MemoryLimit limit, engine::current_limit(settings.ledger));
  if (fit) {
    MULLAMA_ASSIGN(report.context, engine::fit_context(subject.file, subject.definition, settings.load,
                                                       settings.context, limit));
  }
  MULLAMA_ASSIGN(report.plan,
                 engine::plan_run(subject.file, subject.definition, settings.load, report.context));
  MULLAMA_ASSIGN(report.available, memory::available_memory());
  report.budget = settings.ledger.budget(memory::kHost);
  report.fits = engine::counted(report.plan, limit.mapped) <= limit.bytes;
  report.streams = settings.load.use_mmap && report.plan.total() > report.available.bytes;
  if (!report.fits) {
    MULLAMA_ASSIGN(report.alternatives, engine::fitting_alternatives(subject.file, subject.definition,
                                                                     settings.load, report.context, limit));
  }
  return report;
}

std::string grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string heading(const Report& report) {
  const engine::ContextShape& shape = report.plan.shape;
  return fmt::format("{}: context {} x {}, batch {}, KV {}/{}\n\n", report.subject->name, shape.n_sequences,
                     shape.n_ctx, shape.n_batch, kernels::kv_type_name(shape.kv.key_type),
                     kernels::kv_type_name(shape.kv.value_type));
}

std::vector<std::string> notes(const Report& report, bool fitted) {
  const engine::ContextShape& shape = report.plan.shape;
  std::vector<std::string> lines;
  if (fitted) {
    lines.push_back(fmt::format("Chosen: --ctx-size {} --kv-cache-type {}.", shape.n_ctx,
                                kernels::kv_type_name(shape.kv.key_type)));
  }
  const uint32_t trained = report.subject->definition.hparams.context;
  if (shape.n_ctx > trained) lines.push_back(fmt::format("The model was trained for {} tokens.", trained));
  if (report.streams) {
    lines.push_back(
        "The mapped weights do not stay in memory with the rest: they will be read from disk again "
        "and again, slowly.");
  }
  if (!report.fits) {
    lines.push_back(report.alternatives.empty() ? "It does not fit, with no context at all."
                                                : "It does not fit. These would:");
    for (const engine::Alternative& alternative : report.alternatives) {
      lines.push_back(fmt::format("  {:<44} {:>16} ({})", alternative.flags, grouped(alternative.bytes),
                                  format_bytes(alternative.bytes)));
    }
  }
  return lines;
}

std::string text_of(const Report& report, bool fitted) {
  std::vector<std::vector<std::string>> rows{{"DEVICE", "POOL", "BYTES", "", "WHY"}};
  const auto add = [&](std::string device, std::string_view pool, uint64_t bytes, std::string why) {
    rows.push_back({std::move(device), std::string(pool), fmt::format("{:>16}", grouped(bytes)),
                    fmt::format("{:>10}", format_bytes(bytes)), std::move(why)});
  };
  for (const memory::PlanRow& row : report.plan.rows()) {
    if (row.bytes > 0) add(memory::device_name(row.device), memory::pool_name(row.pool), row.bytes, row.why);
  }
  add("", "total", report.plan.total(), "");
  add("", "recommended", report.plan.recommended(), "a fifth more than calculated");
  add("", "available", report.available.bytes, fmt::format("limited by {}", report.available.limited_by));
  if (report.budget) add("", "budget", *report.budget, report.fits ? "fits" : "does not fit");
  std::string text = heading(report) + table(rows, "  ") + "\n";
  for (const std::string& line : notes(report, fitted)) text += line + "\n";
  return text;
}

json json_of(const Report& report) {
  json rows = json::array();
  for (const memory::PlanRow& row : report.plan.rows()) {
    rows.push_back({{"device", memory::device_name(row.device)},
                    {"pool", memory::pool_name(row.pool)},
                    {"bytes", row.bytes},
                    {"why", row.why}});
  }
  json alternatives = json::array();
  for (const engine::Alternative& alternative : report.alternatives) {
    alternatives.push_back({{"flags", alternative.flags}, {"bytes", alternative.bytes}});
  }
  const engine::ContextShape& shape = report.plan.shape;
  return {{"model", report.subject->name},
          {"context_size", shape.n_ctx},
          {"sequences", shape.n_sequences},
          {"batch_size", shape.n_batch},
          {"key_type", kernels::kv_type_name(shape.kv.key_type)},
          {"value_type", kernels::kv_type_name(shape.kv.value_type)},
          {"rows", rows},
          {"total", report.plan.total()},
          {"recommended", report.plan.recommended()},
          {"available", report.available.bytes},
          {"limited_by", report.available.limited_by},
          {"budget", report.budget ? json(*report.budget) : json(nullptr)},
          {"fits", report.fits},
          {"weights_are_streamed", report.streams},
          {"alternatives", alternatives}};
}

/// One line a model, for `--shape all`.
std::string summary(const std::vector<Report>& reports) {
  std::vector<std::vector<std::string>> rows{
      {"SHAPE", "CONTEXT", "WEIGHTS", "KV", "SCRATCH", "OTHER", "TOTAL", "RECOMMENDED"}};
  for (const Report& report : reports) {
    const engine::Plan& plan = report.plan;
    const uint64_t weights = plan.in(Pool::weights_mapped) + plan.in(Pool::weights);
    const uint64_t kv = plan.in(Pool::kv);
    const uint64_t scratch = plan.in(Pool::scratch);
    rows.push_back({report.subject->name, std::to_string(plan.shape.n_ctx), format_bytes(weights),
                    format_bytes(kv), format_bytes(scratch),
                    format_bytes(plan.total() - weights - kv - scratch), format_bytes(plan.total()),
                    format_bytes(plan.recommended())});
  }
  return table(rows, "  ");
}

Result<std::vector<std::unique_ptr<Subject>>> subjects_of(const PlanArguments& arguments) {
  std::vector<std::unique_ptr<Subject>> subjects;
  if (arguments.shape.empty()) {
    if (arguments.model.empty())
      return fail(ErrorCode::invalid_argument, "name a model, or a shape with --shape");
    MULLAMA_ASSIGN(auto subject, open_file(arguments.model));
    subjects.push_back(std::move(subject));
    return subjects;
  }
  const auto type = quant::file_type_from_name(arguments.quantization);
  if (!type) {
    return fail(ErrorCode::invalid_argument, "unknown quantization '{}'; Q4_K_M, Q8_0 and F16 are some",
                arguments.quantization);
  }
  for (const engine::KnownShape& shape : engine::known_shapes()) {
    if (arguments.shape != "all" && arguments.shape != shape.name) continue;
    MULLAMA_ASSIGN(auto subject, make_shape(shape, *type));
    subjects.push_back(std::move(subject));
  }
  if (subjects.empty()) {
    MULLAMA_TRY(engine::find_known_shape(arguments.shape));
  }
  return subjects;
}

Result<int> plan(const PlanArguments& arguments) {
  MULLAMA_ASSIGN(const Settings settings, settle(arguments));
  MULLAMA_ASSIGN(const auto subjects, subjects_of(arguments));
  std::vector<Report> reports;
  for (const auto& subject : subjects) {
    MULLAMA_ASSIGN(Report report, report_on(*subject, settings, arguments.fit));
    reports.push_back(std::move(report));
  }
  if (arguments.as_json) {
    json all = json::array();
    for (const Report& report : reports) all.push_back(json_of(report));
    const json& one = arguments.shape == "all" ? all : all.front();
    write_out(one.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  } else if (arguments.shape == "all") {
    write_out(summary(reports));
  } else {
    write_out(printable(text_of(reports.front(), arguments.fit)));
  }
  return 0;
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("plan", "Show every byte that running a model will take, from its header alone");
  const auto arguments = std::make_shared<PlanArguments>();
  command->add_option("MODEL", arguments->model, "A name or a .gguf file");
  command->add_option("--shape", arguments->shape,
                      "Plan a well-known shape without a file, such as llama-3.1-8b; 'all' for a table");
  command->add_option("--quant", arguments->quantization, "Quantization of the shape's weights")
      ->capture_default_str();
  command->add_option("--parallel", arguments->parallel, "Sequences that run together")
      ->capture_default_str();
  command->add_flag("--fit", arguments->fit, "Choose the context and KV type that fit the budget");
  command->add_flag("--json", arguments->as_json, "Print JSON");
  add_engine_options(*command, arguments->engine);
  command->footer(
      "Examples:\n"
      "  mullama plan model.gguf --ctx-size 8192 --kv-cache-type q8_0\n"
      "  mullama plan --shape llama-3.1-8b --memory-budget 6GiB --fit\n"
      "  mullama plan --shape all --quant Q8_0\n");
  command->callback([&action, arguments] { action = [arguments] { return plan(*arguments); }; });
}

}  // namespace mullama::cli
