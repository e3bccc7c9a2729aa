#include <cstdio>
#include <string_view>

#include "support/tiny_model.hpp"

/// Unless one is given, the template writes each message on a line of its own, with its role before it, and
/// first a variable of its own if a caller gives one. A model in F16 has rows that fill the blocks of every
/// quantization.
int main(int argc, char** argv) {
  const bool in_f16 = argc == 4 && std::string_view(argv[3]) == "F16";
  if (argc != 2 && argc != 3 && !in_f16) {
    std::fprintf(stderr, "usage: write_tiny_model PATH [TEMPLATE [F16]]\n");
    return 2;
  }
  mullama::test::TinyModel model;
  model.chat_template =
      "{% if mood is defined %}mood: {{ mood }}\n{% endif %}"
      "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
      "{% if add_generation_prompt %}assistant: {% endif %}";
  if (argc > 2) model.chat_template = argv[2];
  if (in_f16) {
    model.type = mullama::gguf::TensorType::F16;
    model.embedding = 256;
    model.feed_forward = 512;
  }
  if (const auto written = model.write(argv[1]); !written) {
    std::fprintf(stderr, "%s\n", written.error().message.c_str());
    return 1;
  }
  return 0;
}
