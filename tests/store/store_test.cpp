#include "store/store.hpp"

#include "store/details.hpp"
#include "store/pull.hpp"
#include "temporary_store.hpp"

namespace mullama::store {

namespace fs = std::filesystem;
using StoreTest = TemporaryStore;

namespace {

/// create() from a Modelfile's text.
Result<StoredModel> create(const Store& models, std::string_view name, std::string_view text,
                           const fs::path& folder) {
  MULLAMA_ASSIGN(const Modelfile file, Modelfile::parse(text));
  return store::create(models, name, file, folder, {});
}

std::string message(const Status& status) {
  return status ? "ok" : status.error().message;
}

}  // namespace

TEST_F(StoreTest, CreateListShowCopyRemove) {
  write_gguf(folder() / "work/tiny.gguf");
  const Store models = store();
  const auto made =
      create(models, "tiny:1b",
             "FROM ./tiny.gguf\nSYSTEM Be brief.\nPARAMETER num_ctx 512\nLICENSE MIT\nCAPABILITY tools\n"
             "TEMPLATE {{ messages }}\nMESSAGE user hi\n",
             folder() / "work");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->name, "tiny:1b");
  EXPECT_EQ(read_file(made->weights), read_file(folder() / "work/tiny.gguf"));

  const auto texts = read_texts(*made);
  ASSERT_TRUE(texts) << texts.error().message;
  EXPECT_EQ(texts->system, "Be brief.");
  EXPECT_EQ(texts->chat_template, "{{ messages }}");
  EXPECT_EQ(texts->licenses, std::vector<std::string>{"MIT"});
  EXPECT_EQ(texts->messages.at(0).content, "hi");
  EXPECT_EQ(texts->extras.at(0).second, "tools");

  // The Modelfile that `show` prints makes the same model.
  const auto again = create(models, "again", to_modelfile(*made, *texts), folder());
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_EQ(again->manifest->layers.size(), made->manifest->layers.size());

  ASSERT_TRUE(models.copy("tiny:1b", "me/copy"));
  auto list = models.list();
  ASSERT_TRUE(list);
  EXPECT_EQ(list->size(), 3u);
  for (const ModelEntry& entry : *list)
    EXPECT_TRUE(entry.writable && entry.id && entry.bytes > 8192) << entry.name;

  // A blob lives as long as one name uses it.
  ASSERT_TRUE(models.remove("TINY:1B"));
  ASSERT_TRUE(models.remove("again"));
  EXPECT_TRUE(models.resolve("me/copy"));
  ASSERT_TRUE(models.remove("me/copy:latest"));
  EXPECT_TRUE(fs::is_empty(folder() / "ours/blobs"));
  EXPECT_TRUE(models.list()->empty());
  EXPECT_EQ(models.remove("me/copy").error().code, ErrorCode::not_found);
}

TEST_F(StoreTest, CreateFromAnotherModelInherits) {
  write_gguf(folder() / "tiny.gguf");
  const Store models = store();
  ASSERT_TRUE(create(models, "base",
                     "FROM ./tiny.gguf\nPARAMETER seed 1\nPARAMETER top_k 5\nSYSTEM a\nLICENSE L", folder()));
  const auto derived = create(models, "derived", "FROM base\nPARAMETER top_k 7\nSYSTEM b", folder());
  ASSERT_TRUE(derived) << derived.error().message;
  const auto texts = read_texts(*derived);
  ASSERT_TRUE(texts);
  EXPECT_EQ(texts->system, "b");
  EXPECT_EQ(texts->licenses, std::vector<std::string>{"L"});
  const Parameters wanted{{"seed", int64_t{1}}, {"top_k", int64_t{7}}};
  EXPECT_EQ(texts->parameters, wanted);
}

TEST_F(StoreTest, CreateRefusesWhatIsNoModel) {
  write_file(folder() / "bad.gguf", "GGUFGARBAGE");
  const Store models = store();
  EXPECT_EQ(create(models, "x", "FROM ./bad.gguf", folder()).error().code, ErrorCode::unsupported);
  EXPECT_EQ(create(models, "x", "FROM ./missing.gguf", folder()).error().code, ErrorCode::not_found);
  EXPECT_EQ(create(models, "../x", "FROM ./bad.gguf", folder()).error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(models.list()->empty());
  EXPECT_TRUE(fs::is_empty(models.staging_path()));
}

TEST_F(StoreTest, LooseFilesAndPaths) {
  const Store models = store();
  write_gguf(folder() / "ours/Llama3.2-1b.gguf");
  write_gguf(folder() / "ours/big-00001-of-00002.gguf");
  write_gguf(folder() / "ours/big-00002-of-00002.gguf");
  write_gguf(folder() / "theirs/other.gguf");
  EXPECT_EQ(models.resolve("llama3.2:1b")->weights, folder() / "ours/Llama3.2-1b.gguf");
  EXPECT_EQ(models.resolve("llama3.2-1b")->weights, folder() / "ours/Llama3.2-1b.gguf");
  EXPECT_EQ(models.resolve("other")->weights, folder() / "theirs/other.gguf");
  const std::string path = (folder() / "theirs/other.gguf").string();
  EXPECT_EQ(models.resolve(path)->weights, path);
  EXPECT_EQ(models.resolve("./no.gguf").error().code, ErrorCode::not_found);
  const auto list = models.list();
  ASSERT_EQ(list->size(), 3u);
  for (const ModelEntry& entry : *list) EXPECT_TRUE(models.resolve(entry.name)) << entry.name;
  EXPECT_EQ(models.remove("other").error().code, ErrorCode::permission);
}

TEST_F(StoreTest, AnotherStoreIsReadAndNeverWritten) {
  write_gguf(folder() / "tiny.gguf");
  const Store theirs(StoreFolders{folder() / "theirs", {}});
  ASSERT_TRUE(create(theirs, "tiny", "FROM ./tiny.gguf\nSYSTEM s", folder()));
  const Store models = store();
  EXPECT_EQ(models.resolve("Tiny:latest")->folder, folder() / "theirs");
  EXPECT_EQ(models.remove("tiny").error().code, ErrorCode::permission);
  ASSERT_TRUE(models.copy("tiny", "mine")) << message(models.copy("tiny", "mine"));
  ASSERT_TRUE(theirs.remove("tiny"));
  const auto mine = models.resolve("mine");
  ASSERT_TRUE(mine) << mine.error().message;
  EXPECT_EQ(read_texts(*mine)->system, "s");
}

TEST_F(StoreTest, Aliases) {
  write_gguf(folder() / "ours/small.gguf");
  const Store models = store();
  write_file(folder() / "ours/aliases.json",
             R"({"llama3.2:1b":"pet","pet":"./small.gguf","a":"b","b":"a","n":3})");
  EXPECT_TRUE(fs::equivalent(models.resolve("llama3.2:1B")->weights, folder() / "ours/small.gguf"));
  EXPECT_NE(models.resolve("a").error().message.find("circle"), std::string::npos);
  EXPECT_EQ(models.resolve("n").error().code, ErrorCode::corrupt_file);
}

TEST_F(StoreTest, NotFoundSaysWhatToDo) {
  write_gguf(folder() / "ours/mistral-7b.gguf");
  const Store models = store();
  EXPECT_EQ(models.resolve("zzzzzz").error().message,
            "model 'zzzzzz' not found. Try: mullama pull zzzzzz, or pass a .gguf path");
  EXPECT_NE(models.resolve("mistrl-7b").error().message.find("Did you mean 'mistral-7b'"), std::string::npos);
  EXPECT_NE(models.resolve("smollm2:135m").error().message.find("Try: mullama pull smollm2:135m"),
            std::string::npos);
}

TEST_F(StoreTest, MissingWeightsAreNamed) {
  write_gguf(folder() / "tiny.gguf");
  const Store models = store();
  const auto made = create(models, "tiny", "FROM ./tiny.gguf", folder());
  ASSERT_TRUE(made);
  fs::remove(made->weights);
  EXPECT_EQ(models.resolve("tiny").error().code, ErrorCode::corrupt_file);
}

TEST_F(StoreTest, SummaryOfAFile) {
  write_gguf(folder() / "tiny.gguf");
  const auto file = gguf::File::open(folder() / "tiny.gguf");
  ASSERT_TRUE(file);
  const ModelSummary summary = summarize(*file);
  EXPECT_EQ(summary.architecture, "llama");
  EXPECT_EQ(summary.quantization, "F32");
  EXPECT_EQ(summary.parameters, 2048u);
  EXPECT_EQ(summary.context_length, 2048u);
  EXPECT_EQ(format_parameters(134'515'008), "134.52M");
}

}  // namespace mullama::store
