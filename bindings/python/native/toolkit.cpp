#include <nanobind/ndarray.h>

#include "binding.hpp"

namespace mullama::python {

namespace {

template <class T>
void read(nb::handle from, const char* name, T& out) {
  out = field<T>(from, name);
}

using Row = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

}  // namespace

SamplerParams sampler_params(nb::handle from) {
  SamplerParams out;
  read(from, "seed", out.seed);
  read(from, "temperature", out.temperature);
  read(from, "dynamic_temperature_range", out.dynamic_temperature_range);
  read(from, "dynamic_temperature_exponent", out.dynamic_temperature_exponent);
  read(from, "top_k", out.top_k);
  read(from, "top_p", out.top_p);
  read(from, "min_p", out.min_p);
  read(from, "typical_p", out.typical_p);
  read(from, "xtc_probability", out.xtc_probability);
  read(from, "xtc_threshold", out.xtc_threshold);
  read(from, "repeat_penalty", out.repeat_penalty);
  read(from, "repeat_last_n", out.repeat_last_n);
  read(from, "frequency_penalty", out.frequency_penalty);
  read(from, "presence_penalty", out.presence_penalty);
  read(from, "dry_multiplier", out.dry_multiplier);
  read(from, "dry_base", out.dry_base);
  read(from, "dry_allowed_length", out.dry_allowed_length);
  read(from, "dry_penalty_last_n", out.dry_penalty_last_n);
  read(from, "dry_sequence_breakers", out.dry_sequence_breakers);
  read(from, "mirostat", out.mirostat);
  read(from, "mirostat_tau", out.mirostat_tau);
  read(from, "mirostat_eta", out.mirostat_eta);
  read(from, "order", out.order);
  for (const auto& [token, bias] : field<nb::dict>(from, "logit_bias")) {
    out.logit_bias.emplace_back(nb::cast<Token>(token), nb::cast<float>(bias));
  }
  return out;
}

void bind_toolkit(nb::module_& module) {
  nb::class_<Batch>(module, "Batch", "Token ids of one evaluation.")
      .def(nb::init<>())
      .def(
          "__init__",
          [](Batch* place, const std::vector<Token>& tokens) {
            new (place) Batch(std::span<const Token>(tokens));
          },
          nb::arg("tokens"))
      .def("add", &Batch::add, nb::arg("token"))
      .def("clear", &Batch::clear)
      .def("__len__", [](const Batch& batch) { return batch.tokens().size(); })
      .def("__getitem__", [](const Batch& batch, std::ptrdiff_t index) {
        const auto tokens = batch.tokens();
        const auto size = static_cast<std::ptrdiff_t>(tokens.size());
        if (index < 0) index += size;
        if (index < 0 || index >= size) throw nb::index_error();
        return tokens[static_cast<size_t>(index)];
      });

  nb::class_<SamplerChain>(module, "SamplerChain", "Chooses tokens from logits as generate() does.")
      .def("__init__",
           [](SamplerChain* place, const PyModel& model, nb::handle params) {
             new (place) SamplerChain(model.get(), sampler_params(params));
           })
      .def(
          "sample",
          [](SamplerChain& chain, const Row& logits) {
            return chain.sample({logits.data(), logits.size()});
          },
          nb::arg("logits"))
      .def("accept", &SamplerChain::accept, nb::arg("token"))
      .def("reset", &SamplerChain::reset);

  module.def("set_memory_budget", &set_memory_budget, nb::arg("budget"));
  module.def("_kv_cache_type",
             [](std::string_view name) { return text_of(to_string(kv_cache_type_from_string(name))); });
  module.def("_plan", [](const std::string& path, nb::handle model, nb::handle context) {
    const ModelParams load = model_params(model);
    const ContextParams shape = context_params(context);
    std::string json;
    {
      const nb::gil_scoped_release release;
      json = plan(path, load, shape).to_json();
    }
    return text_of(json);
  });
  module.def("live_objects", [] {
    const LiveObjects live = live_objects();
    nb::dict out;
    out["models"] = live.models;
    out["contexts"] = live.contexts;
    out["batches"] = live.batches;
    out["samplers"] = live.samplers;
    out["streams"] = live.streams;
    return out;
  });
  module.def("version", [] { return text_of(version()); });
}

}  // namespace mullama::python
