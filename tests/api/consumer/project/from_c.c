#include <mullama/mullama.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  mullama_model* model = NULL;
  mullama_context* context = NULL;
  mullama_context_params shape;
  mullama_generate_params how;
  mullama_sampler_params choose;
  mullama_result result;
  const char* prompt = "Once upon a time";
  if (argc != 2) return 2;
  mullama_context_params_init(&shape, sizeof(shape));
  shape.n_ctx = 256;
  mullama_generate_params_init(&how, sizeof(how));
  how.max_tokens = 16;
  mullama_sampler_params_init(&choose, sizeof(choose));
  choose.temperature = 0;
  how.sampler = &choose;
  mullama_result_init(&result, sizeof(result));
  if (mullama_model_load(argv[1], NULL, &model) != MULLAMA_OK ||
      mullama_context_create(model, &shape, &context) != MULLAMA_OK ||
      mullama_generate(context, prompt, strlen(prompt), &how, NULL, NULL, &result) != MULLAMA_OK) {
    fprintf(stderr, "%s\n", mullama_last_error());
    return 1;
  }
  for (size_t i = 0; i < result.n_tokens; ++i) printf("%d\n", result.tokens[i]);
  mullama_result_free(&result);
  mullama_context_free(context);
  mullama_model_free(model);
  mullama_live_objects live;
  mullama_live_objects_init(&live, sizeof(live));
  if (mullama_get_live_objects(&live) != MULLAMA_OK) return 1;
  return live.models + live.contexts == 0 ? 0 : 1;
}
