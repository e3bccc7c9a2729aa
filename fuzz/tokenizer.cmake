mullama_fuzzer(fuzz_tokenizer SOURCES tokenizer.cpp DEPENDS text)
target_include_directories(fuzz_tokenizer PRIVATE "${PROJECT_SOURCE_DIR}/tests")
