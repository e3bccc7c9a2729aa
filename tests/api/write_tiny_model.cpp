#include <cstdio>

#include "support/tiny_model.hpp"

/// Unless one is given, the template writes each message on a line of its own, with its role before it.
int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: write_tiny_model PATH [TEMPLATE]\n");
    return 2;
  }
  mullama::test::TinyModel model;
  model.chat_template =
      "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
      "{% if add_generation_prompt %}assistant: {% endif %}";
  if (argc == 3) model.chat_template = argv[2];
  if (const auto written = model.write(argv[1]); !written) {
    std::fprintf(stderr, "%s\n", written.error().message.c_str());
    return 1;
  }
  return 0;
}
