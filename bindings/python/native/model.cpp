#include "binding.hpp"

namespace mullama::python {

namespace {

PyModel load(const std::string& path, nb::handle params) {
  PyModel loaded;
  loaded.warnings = std::make_shared<Warnings>();
  loaded.on_warning = params.attr("on_warning");
  ModelParams native = model_params(params);
  native.on_warning = [warnings = loaded.warnings](const std::string& line) { warnings->add(line); };
  {
    const nb::gil_scoped_release release;
    loaded.model = Model::load_with_params(path, native);
  }
  loaded.warnings->tell(loaded.on_warning);
  return loaded;
}

void close(PyModel& model) {
  std::optional<Model> last = std::exchange(model.model, std::nullopt);
  const nb::gil_scoped_release release;
  last.reset();
}

nb::dict metadata(const PyModel& model) {
  nb::dict all;
  for (const auto& [key, value] : model.get().all_metadata()) all[text_of(key)] = text_of(value);
  return all;
}

}  // namespace

const Model& PyModel::get() const {
  if (!model) throw MullamaError(StatusCode::invalid_argument, "the model is closed");
  return *model;
}

ModelParams model_params(nb::handle from) {
  ModelParams out;
  out.use_mmap = field<bool>(from, "use_mmap");
  out.use_mlock = field<bool>(from, "use_mlock");
  out.mlock_required = field<bool>(from, "mlock_required");
  out.n_gpu_layers = field<int>(from, "n_gpu_layers");
  out.n_threads = field<unsigned>(from, "n_threads");
  out.isa = field<std::string>(from, "isa");
  out.pre_tokenizer = field<std::string>(from, "pre_tokenizer");
  out.vocab_only = field<bool>(from, "vocab_only");
  return out;
}

ContextParams context_params(nb::handle from) {
  ContextParams out;
  out.n_ctx = field<std::uint32_t>(from, "n_ctx");
  out.n_batch = field<std::uint32_t>(from, "n_batch");
  out.kv_cache_type = kv_cache_type_from_string(field<std::string>(from, "kv_cache_type"));
  if (const auto values = field<std::optional<std::string>>(from, "kv_cache_type_v")) {
    out.kv_cache_type_v = kv_cache_type_from_string(*values);
  }
  out.kv_rotate = field<bool>(from, "kv_rotate");
  out.lookup = field<std::uint32_t>(from, "lookup");
  out.grow = field<bool>(from, "grow");
  return out;
}

void bind_model(nb::module_& module) {
  nb::class_<PyModel>(module, "Model")
      .def_static("_load", &load)
      .def("close", &close, "Drops this reference; contexts made from the model keep it.")
      .def_prop_ro("closed", [](const PyModel& model) { return !model.model; })
      .def(
          "tokenize",
          [](const PyModel& model, std::string_view text, bool add_special, bool parse_special) {
            return model.get().tokenize(text, add_special, parse_special);
          },
          nb::arg("text"), nb::arg("add_special") = true, nb::arg("parse_special") = false)
      .def(
          "detokenize",
          [](const PyModel& model, const std::vector<Token>& tokens, bool render_special) {
            return text_of(model.get().detokenize(tokens, render_special));
          },
          nb::arg("tokens"), nb::arg("render_special") = false)
      .def(
          "token_piece",
          [](const PyModel& model, Token token, bool render_special) {
            const std::string piece = model.get().token_piece(token, render_special);
            return nb::bytes(piece.data(), piece.size());
          },
          nb::arg("token"), nb::arg("render_special") = true)
      .def("_apply_chat_template",
           [](const PyModel& model, std::string_view messages, bool add_generation_prompt,
              std::string_view tools, std::string_view variables) {
             return text_of(
                 model.get().apply_chat_template(messages, add_generation_prompt, tools, variables));
           })
      .def("is_end_of_generation",
           [](const PyModel& model, Token token) { return model.get().is_end_of_generation(token); })
      .def_prop_ro("architecture", [](const PyModel& model) { return text_of(model.get().architecture()); })
      .def_prop_ro("name", [](const PyModel& model) { return text_of(model.get().name()); })
      .def_prop_ro("vocab_size", [](const PyModel& model) { return model.get().vocab_size(); })
      .def_prop_ro("n_layer", [](const PyModel& model) { return model.get().n_layer(); })
      .def_prop_ro("n_embd", [](const PyModel& model) { return model.get().n_embd(); })
      .def_prop_ro("n_ctx_train", [](const PyModel& model) { return model.get().n_ctx_train(); })
      .def_prop_ro("parameter_count", [](const PyModel& model) { return model.get().parameter_count(); })
      .def_prop_ro("size_bytes", [](const PyModel& model) { return model.get().size_bytes(); })
      .def_prop_ro("bos", [](const PyModel& model) { return model.get().bos(); })
      .def_prop_ro("eos", [](const PyModel& model) { return model.get().eos(); })
      .def_prop_ro("metadata", &metadata);
}

}  // namespace mullama::python
