#include <iostream>
#include <mullama/mullama.hpp>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    const mullama::Model model = mullama::Model::load(argv[1]);
    mullama::Context context(model, {.n_ctx = 256});
    mullama::GenerateOptions options;
    options.max_tokens = 16;
    options.sampler = mullama::SamplerParams::greedy();
    const mullama::GenerateResult result = context.generate("Once upon a time", options);
    for (const mullama::Token token : result.tokens) std::cout << token << '\n';
  } catch (const mullama::MullamaError& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  // An exception thrown inside the library is caught by its type out here.
  try {
    (void)mullama::Model::load("no such file");
  } catch (const mullama::MullamaError& error) {
    return error.code() == mullama::StatusCode::not_found ? 0 : 1;
  }
  return 1;
}
