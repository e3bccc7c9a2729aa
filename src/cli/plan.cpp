#include "api/plan.hpp"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/byte_size.hpp"
#include "cli/command.hpp"
#include "cli/engine_options.hpp"
#include "cli/format.hpp"
#include "cli/models.hpp"
#include "cli/run.hpp"
#include "cli/sampling_options.hpp"
#include "cli/terminal.hpp"
#include "engine/answer_format.hpp"
#include "engine/fit.hpp"
#include "engine/known_shapes.hpp"
#include "memory/available.hpp"
#include "memory/budget.hpp"
#include "server/http_server.hpp"
#include "server/model_worker.hpp"
#include "server/serve.hpp"
#include "store/details.hpp"

namespace mullama::cli {

namespace {

using memory::Pool;
using json = nlohmann::ordered_json;

struct PlanArguments {
  std::string model;
  std::string shape;
  std::string quantization = "Q4_K_M";
  std::optional<uint32_t> parallel;  // as a server runs them
  std::string table;
  std::string available;
  std::string format;
  bool fit = false;
  bool as_json = false;
  EngineArguments engine;
  SamplingArguments sampling;
};

/// A model to plan: a file on disk, or the header that a known shape would have.
struct Subject {
  std::string name;
  gguf::HeaderBuilder::Header header;
  store::Parameters parameters;  ///< The model's own.
  gguf::File file;
  model::Definition definition;
};

struct Settings {
  engine::LoadParams load;
  engine::ContextParams context;
  engine::RunNeeds needs;
  memory::Ledger ledger;  // empty but for the budget
  memory::Available available;
};

/// All that is printed of one model.
struct Report {
  const Subject* subject;
  MemoryPlan plan;
  int gpu_layers = 0;       // asked for
  bool restricted = false;  // answers to a format
  bool served = false;
};

Result<std::unique_ptr<Subject>> open_file(const std::string& name) {
  MULLAMA_ASSIGN(const store::StoredModel model, find_model(name, true));
  auto subject = std::make_unique<Subject>();
  subject->name = model.name;
  MULLAMA_ASSIGN(store::ModelTexts texts, store::read_texts(model));
  subject->parameters = std::move(texts.parameters);
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

/// What `run` would make of the same flags and the model's own parameters.
Result<Settings> settle(const PlanArguments& arguments, const Subject& subject) {
  MULLAMA_ASSIGN(const EngineParams params, resolve(arguments.engine, subject.parameters));
  Settings settings;
  MULLAMA_ASSIGN(settings.needs.sampler, resolve(arguments.sampling, subject.parameters));
  MULLAMA_TRY(sampling::validate(settings.needs.sampler, subject.definition.program.vocabulary));
  settings.load = api::to_engine(params.model);
  settings.context = api::to_engine(params.context);
  settings.context.n_sequences = arguments.parallel.value_or(1);
  if (arguments.parallel) settings.needs.runner = server::ModelWorker::plan_rows();
  // A shape has no vocabulary to measure; a note says so.
  if (!arguments.format.empty() && arguments.shape.empty()) {
    MULLAMA_ASSIGN(settings.needs.format, engine::plan_format(subject.file, subject.definition, settings.load,
                                                              settings.context.n_sequences));
  }
  MULLAMA_ASSIGN(const memory::BudgetRequest budget, memory::parse_budget(params.memory_budget));
  MULLAMA_TRY(memory::apply_budget(settings.ledger, budget));
  MULLAMA_ASSIGN(settings.available, memory::available_memory());
  if (!arguments.available.empty()) {
    MULLAMA_ASSIGN(settings.available.bytes, parse_bytes(arguments.available));
    settings.available.limited_by = "--available";
  }
  return settings;
}

Result<Report> report_on(const Subject& subject, const Settings& settings, bool fit) {
  engine::ContextParams context = settings.context;
  if (fit) {
    MULLAMA_ASSIGN(const auto limit, api::plan_limit(settings.ledger, settings.available));
    MULLAMA_ASSIGN(context, engine::fit_context(subject.file, subject.definition, settings.load, context,
                                                limit, settings.needs));
  }
  MULLAMA_ASSIGN(MemoryPlan plan, api::plan_memory(subject.file, subject.definition, settings.load, context,
                                                   settings.ledger, settings.available, settings.needs));
  return Report{&subject, std::move(plan), settings.load.gpu_layers};
}

std::string grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string heading(const Report& report) {
  const MemoryPlan& plan = report.plan;
  return fmt::format("{}: context {} x {}, batch {}, KV {}/{}\n\n", report.subject->name, plan.sequences,
                     plan.context_size, plan.batch_size, to_string(plan.key_type),
                     to_string(plan.value_type));
}

std::vector<std::string> notes(const Report& report, bool fitted) {
  const MemoryPlan& plan = report.plan;
  std::vector<std::string> lines;
  if (fitted) {
    lines.push_back(
        fmt::format("Chosen: --ctx-size {} {}.", plan.context_size,
                    engine::kv_type_flags(api::to_kernel(plan.key_type), api::to_kernel(plan.value_type))));
  }
  if (report.gpu_layers != 0) {
    lines.push_back(fmt::format("--gpu-layers {}: this build has no GPU backend; all layers run on the CPU.",
                                report.gpu_layers));
  }
  if (report.restricted) {
    lines.push_back(report.subject->header.bytes.empty()
                        ? "--format: each answer's grammar also takes states as it meets them, from 256 KiB "
                          "on (pool runtime)."
                        : "--format: what it adds depends on the vocabulary, which a shape does not have.");
  }
  if (report.served) {
    uint64_t bytes = 0;
    for (const memory::PlanRow& row : server::plan_server()) bytes += row.bytes;
    lines.push_back(fmt::format(
        "A server takes {} beside its models, for the stacks of its threads and of {} connections; each more "
        "takes {}.",
        format_bytes(bytes), server::HttpServer::kKeptStacks,
        format_bytes(server::Stack::footprint(server::HttpServer::kStackBytes))));
  }
  const uint32_t trained = report.subject->definition.hparams.context;
  if (plan.context_size > trained)
    lines.push_back(fmt::format("The model was trained for {} tokens.", trained));
  if (plan.weights_are_streamed) {
    lines.push_back(
        "The mapped weights do not stay in memory with the rest: they will be read from disk again "
        "and again, slowly.");
  }
  if (!plan.fits) {
    lines.push_back(plan.alternatives.empty() ? "It does not fit, with no context at all."
                                              : "It does not fit. These would:");
    size_t width = 44;
    for (const PlanAlternative& alternative : plan.alternatives)
      width = std::max(width, alternative.flags.size());
    for (const PlanAlternative& alternative : plan.alternatives) {
      lines.push_back(fmt::format("  {:<{}} {:>16} ({})", alternative.flags, width,
                                  grouped(alternative.bytes), format_bytes(alternative.bytes)));
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
  const MemoryPlan& plan = report.plan;
  for (const PlanRow& row : plan.rows) {
    if (row.bytes > 0) add(row.device, row.pool, row.bytes, row.why);
  }
  add("", "total", plan.total, "");
  add("", "recommended", plan.recommended, "a fifth more than calculated");
  add("", "available", plan.available, fmt::format("limited by {}", plan.limited_by));
  if (plan.budget) add("", "budget", *plan.budget, plan.fits ? "fits" : "does not fit");
  std::string text = heading(report) + table(rows, "  ") + "\n";
  for (const std::string& line : notes(report, fitted)) text += line + "\n";
  return text;
}

json json_of(const Report& report) {
  json out = {{"model", report.subject->name}};
  out.update(api::to_json(report.plan));
  return out;
}

uint64_t host_bytes_in(const MemoryPlan& plan, std::initializer_list<Pool> pools) {
  uint64_t bytes = 0;
  for (const PlanRow& row : plan.rows) {
    const bool wanted = std::ranges::find(pools, row.pool, memory::pool_name) != pools.end();
    if (wanted && row.device == memory::device_name(memory::kHost)) bytes += row.bytes;
  }
  return bytes;
}

/// One line a plan under what tells them apart.
std::string lines_of(const std::string& what, const std::vector<std::pair<std::string, Report>>& reports) {
  std::vector<std::vector<std::string>> rows{
      {what, "CONTEXT", "WEIGHTS", "KV", "SCRATCH", "OTHER", "TOTAL", "RECOMMENDED"}};
  for (const auto& [name, report] : reports) {
    const MemoryPlan& plan = report.plan;
    const uint64_t weights = host_bytes_in(plan, {Pool::weights_mapped, Pool::weights});
    const uint64_t kv = host_bytes_in(plan, {Pool::kv});
    const uint64_t scratch = host_bytes_in(plan, {Pool::scratch});
    rows.push_back({name, std::to_string(plan.context_size), format_bytes(weights), format_bytes(kv),
                    format_bytes(scratch), format_bytes(plan.total - weights - kv - scratch),
                    format_bytes(plan.total), format_bytes(plan.recommended)});
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

/// One model with one setting varied: a table of the user's guide.
Result<std::string> table_of(const PlanArguments& arguments, const Subject& subject) {
  MULLAMA_ASSIGN(Settings settings, settle(arguments, subject));
  std::vector<std::pair<std::string, Report>> reports;
  const auto add = [&](const Subject& with, std::string name) -> Status {
    MULLAMA_ASSIGN(Report report, report_on(with, settings, false));
    reports.emplace_back(std::move(name), std::move(report));
    return {};
  };
  if (arguments.table == "kv-cache-type") {
    for (const char* name : {"f32", "f16", "bf16", "q8_0", "q4_0"}) {
      MULLAMA_ASSIGN(settings.context.key_type, kernels::kv_type_from_name(name));
      settings.context.value_type = settings.context.key_type;
      MULLAMA_TRY(add(subject, name));
    }
  } else if (arguments.table == "ctx-size") {
    for (uint32_t n_ctx = 512; n_ctx <= 131072; n_ctx *= 2) {
      settings.context.n_ctx = n_ctx;
      MULLAMA_TRY(add(subject, std::to_string(n_ctx)));
    }
  } else if (arguments.table == "batch-size") {
    for (const uint32_t n_batch : {32u, 128u, 512u, 2048u, 4096u}) {
      settings.context.n_batch = n_batch;
      MULLAMA_TRY(add(subject, std::to_string(n_batch)));
    }
  } else if (arguments.table == "quant" && !arguments.shape.empty()) {
    MULLAMA_ASSIGN(const engine::KnownShape* shape, engine::find_known_shape(arguments.shape));
    for (const char* name : {"F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"}) {
      const auto type = quant::file_type_from_name(name);
      if (!type) continue;
      MULLAMA_ASSIGN(const auto quantized, make_shape(*shape, *type));
      MULLAMA_TRY(add(*quantized, name));
    }
  } else {
    return fail(
        ErrorCode::invalid_argument,
        "--table varies one of kv-cache-type, ctx-size, batch-size, or quant with a --shape; not '{}'",
        arguments.table);
  }
  return lines_of(arguments.table, reports);
}

Result<int> plan(const PlanArguments& arguments) {
  if (!arguments.format.empty()) MULLAMA_TRY(read_format(arguments.format));
  MULLAMA_ASSIGN(const auto subjects, subjects_of(arguments));
  if (!arguments.table.empty()) {
    MULLAMA_ASSIGN(const std::string lines, table_of(arguments, *subjects.front()));
    write_out(lines);
    return 0;
  }
  std::vector<Report> reports;
  for (const auto& subject : subjects) {
    MULLAMA_ASSIGN(const Settings settings, settle(arguments, *subject));
    MULLAMA_ASSIGN(Report report, report_on(*subject, settings, arguments.fit));
    report.restricted = !arguments.format.empty();
    report.served = arguments.parallel.has_value();
    reports.push_back(std::move(report));
  }
  if (arguments.as_json) {
    json all = json::array();
    for (const Report& report : reports) all.push_back(json_of(report));
    const json& one = arguments.shape == "all" ? all : all.front();
    write_out(one.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  } else if (arguments.shape == "all") {
    std::vector<std::pair<std::string, Report>> named;
    for (Report& report : reports) named.emplace_back(report.subject->name, std::move(report));
    write_out(lines_of("SHAPE", named));
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
  command->add_option("--parallel", arguments->parallel,
                      "Plan for a server that works on so many answers together");
  command->add_option("--table", arguments->table,
                      "One line for each value of kv-cache-type, ctx-size, batch-size or quant");
  command->add_option("--available", arguments->available,
                      "Plan for a machine with this much memory to give, such as 16GiB");
  command->add_flag("--fit", arguments->fit, "Choose the context and KV type that fit the budget");
  command->add_flag("--json", arguments->as_json, "Print JSON");
  command->add_option("--format", arguments->format,
                      "What answers must be: json, or a file with a JSON Schema");
  add_sampling_options(*command, arguments->sampling);
  add_engine_options(*command, arguments->engine);
  command->footer(
      "Examples:\n"
      "  mullama plan model.gguf --ctx-size 8192 --kv-cache-type q8_0\n"
      "  mullama plan --shape llama-3.1-8b --memory-budget 6GiB --fit\n"
      "  mullama plan --shape all --quant Q8_0\n"
      "  mullama plan --shape llama-2-7b --table kv-cache-type\n"
      "\nTakes the flags of run that change what is in memory, sampling's among them, and knows the "
      "parameters of the\nmodel's own Modelfile as run does.\n");
  command->callback([&action, arguments] { action = [arguments] { return plan(*arguments); }; });
}

}  // namespace mullama::cli
