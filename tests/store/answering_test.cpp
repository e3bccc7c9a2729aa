#include "store/answering.hpp"

#include "store/pull.hpp"
#include "temporary_store.hpp"

namespace mullama::store {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kFiles = "{% for m in messages %}file:{{ m.content }}{% endfor %}{{ tools }}";

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

class AnsweringTest : public TemporaryStore {
 protected:
  void SetUp() override {
    TemporaryStore::SetUp();
    write_model(folder() / "with.gguf", kFiles);
    write_model(folder() / "without.gguf", "");
  }

  void write_model(const fs::path& path, std::string_view chat_template) const {
    auto writer = gguf::Writer::create(path);
    ASSERT_TRUE(writer) << writer.error().message;
    writer->set("general.architecture", "llama");
    if (!chat_template.empty()) writer->set("tokenizer.chat_template", std::string(chat_template));
    ASSERT_TRUE(writer->begin());
    ASSERT_TRUE(writer->finish());
  }

  /// What a Modelfile makes.
  Result<StoredModel> made(std::string_view name, std::string_view text) {
    MULLAMA_ASSIGN(const Modelfile file, Modelfile::parse(text));
    return create(store(), name, file, folder(), {});
  }

  /// An entry of the other store, which nothing of ours has written.
  Result<StoredModel> ollama_entry(const std::string& name, std::string_view file,
                                   std::string_view chat_template, std::string_view config = "{}") {
    const Store theirs(StoreFolders{folder() / "theirs", {}});
    MULLAMA_ASSIGN(const Modelfile base, Modelfile::parse("FROM ./" + std::string(file)));
    MULLAMA_ASSIGN(const StoredModel model, create(theirs, name, base, folder(), {}));
    Manifest manifest = *model.manifest;
    MULLAMA_ASSIGN(Layer layer, theirs.add_text(LayerKind::chat_template, chat_template));
    manifest.layers.push_back(std::move(layer));
    MULLAMA_ASSIGN(manifest.config, theirs.add_text(LayerKind::other, config));
    MULLAMA_ASSIGN(const ModelName parsed, ModelName::parse(name));
    MULLAMA_TRY(theirs.publish(parsed, manifest));
    return store().resolve(name);
  }

  struct Answer {
    std::string prompt;
    std::string error;
    std::string warning;
    std::vector<std::string> capabilities;
  };
  Answer answer_of(const Result<StoredModel>& model) {
    Answer out;
    EXPECT_TRUE(model) << model.error().message;
    if (!model) return out;
    const auto texts = read_texts(*model);
    const auto file = gguf::File::open(model->weights);
    EXPECT_TRUE(texts && file);
    const auto answering = answering_template(*model, *texts, *file);
    EXPECT_TRUE(answering) << answering.error().message;
    text::ChatInput input;
    input.messages = {{{"role", "user"}, {"content", "hi"}}};
    const auto prompt = answering->chat.render(input);
    out.prompt = prompt.value_or("");
    if (!prompt) out.error = prompt.error().message;
    out.warning = answering->warning;
    out.capabilities = describe_answering(*model, *texts, *file).capabilities;
    return out;
  }
};

TEST_F(AnsweringTest, AModelsOwnTemplateComesBeforeItsFiles) {
  const Answer file = answer_of(made("plain", "FROM ./with.gguf"));
  EXPECT_EQ(file.prompt, "file:hi");
  EXPECT_EQ(file.capabilities, (std::vector<std::string>{"completion", "tools"}));
  const Answer go =
      answer_of(made("go", "FROM ./with.gguf\nTEMPLATE \"\"\"<{{ .Prompt }}>{{ .Response }}\"\"\""));
  EXPECT_EQ(go.prompt, "<hi>");
  EXPECT_EQ(go.warning, "");
  EXPECT_EQ(go.capabilities, std::vector<std::string>{"completion"});
  const Answer jinja = answer_of(
      made("jinja",
           "FROM ./without.gguf\nTEMPLATE {% if enable_thinking %}?{% endif %}[{{ messages[0].content }}]"));
  EXPECT_EQ(jinja.prompt, "[hi]");
  EXPECT_EQ(jinja.capabilities, (std::vector<std::string>{"completion", "thinking"}));
  EXPECT_EQ(answer_of(made("empty", "FROM ./with.gguf\nTEMPLATE \"\"\"\"\"\"")).prompt, "file:hi");
  // What is made of another model has that one's.
  EXPECT_EQ(answer_of(made("heir", "FROM go\nSYSTEM s")).prompt, "<hi>");
}

TEST_F(AnsweringTest, AnOllamaStoresEntryAnswersWithItsLayer) {
  EXPECT_EQ(answer_of(ollama_entry("theirs", "with.gguf", "<{{ .Prompt }}>")).prompt, "<hi>");
}

TEST_F(AnsweringTest, WhatCannotBeReadGivesWayToTheFilesWithAWarning) {
  const Answer answer = answer_of(ollama_entry("odd", "with.gguf", "{{ html .Prompt }}"));
  EXPECT_EQ(answer.prompt, "file:hi");
  EXPECT_TRUE(contains(answer.warning, "'odd:latest'")) << answer.warning;
  EXPECT_TRUE(contains(answer.warning, "'html'")) << answer.warning;
  EXPECT_TRUE(contains(answer.warning, "the one in the model's file answers instead")) << answer.warning;
  EXPECT_EQ(answer.capabilities, (std::vector<std::string>{"completion", "tools"}));
}

TEST_F(AnsweringTest, WhereTheFileHasNoneConversationsFailWithTheCause) {
  const Answer answer = answer_of(ollama_entry("odd", "without.gguf", "{{ html .Prompt }}"));
  EXPECT_EQ(answer.prompt, "");
  for (const std::string_view part : {"'odd:latest'", "'html'", "--raw", "TEMPLATE"}) {
    EXPECT_TRUE(contains(answer.error, part)) << answer.error;
    EXPECT_TRUE(contains(answer.warning, part)) << answer.warning;
  }
  EXPECT_EQ(answer.capabilities, std::vector<std::string>{"completion"});
}

TEST_F(AnsweringTest, APlaceholderForOllamasOwnCodeIsNoTemplate) {
  constexpr std::string_view kConfig = R"({"renderer": "somebody-v1"})";
  const auto model = ollama_entry("rendered", "with.gguf", "{{ .Prompt }}", kConfig);
  const Answer answer = answer_of(model);
  EXPECT_EQ(answer.prompt, "file:hi");
  EXPECT_EQ(answer.warning, "");
  EXPECT_FALSE(read_texts(*model)->chat_template);
  // Neither copied into another store, nor built upon, nor in our own.
  EXPECT_EQ(answer_of(made("heir", "FROM rendered")).prompt, "file:hi");
  ASSERT_TRUE(store().copy("rendered", "copy"));
  EXPECT_EQ(answer_of(store().resolve("copy")).prompt, "file:hi");
  EXPECT_EQ(answer_of(made("second", "FROM copy\nSYSTEM s")).prompt, "file:hi");
  EXPECT_EQ(answer_of(made("own", "FROM copy\nTEMPLATE [{{ .Prompt }}]")).prompt, "[hi]");
  const Answer without = answer_of(ollama_entry("bare", "without.gguf", "{{ .Prompt }}", kConfig));
  EXPECT_TRUE(contains(without.error, "'somebody-v1'")) << without.error;
  // A damaged configuration says nothing.
  EXPECT_EQ(answer_of(ollama_entry("damaged", "with.gguf", "<{{ .Prompt }}>", "no JSON")).prompt, "<hi>");
}

TEST_F(AnsweringTest, CreateRefusesATemplateThatCouldNeverAnswer) {
  for (const char* text : {"{{ html .Prompt }}", "{{ .Prompt", "{% for %}"}) {
    const auto refused = made("bad", std::string("FROM ./with.gguf\nTEMPLATE ") + text);
    ASSERT_FALSE(refused) << text;
    EXPECT_TRUE(contains(refused.error().message, "the TEMPLATE cannot be used: "))
        << refused.error().message;
  }
  EXPECT_TRUE(
      contains(made("bad", "FROM ./with.gguf\nTEMPLATE {{ html .Prompt }}").error().message, "'html'"));
  EXPECT_TRUE(store().list()->empty());
  EXPECT_FALSE(fs::exists(folder() / "ours/blobs"));
}

TEST_F(AnsweringTest, AdaptersAreRefused) {
  const auto model = made("tuned", "FROM ./with.gguf\nADAPTER ./without.gguf");
  ASSERT_TRUE(model) << model.error().message;
  const Status status = check_can_answer(*model, *read_texts(*model));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::unsupported);
  EXPECT_EQ(status.error().message, "model 'tuned:latest' has adapters, which this version cannot apply");
  const auto plain = made("plain", "FROM ./with.gguf");
  EXPECT_TRUE(check_can_answer(*plain, *read_texts(*plain)));
}

}  // namespace mullama::store
