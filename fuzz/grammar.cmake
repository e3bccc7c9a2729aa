mullama_fuzzer(fuzz_grammar SOURCES grammar.cpp DEPENDS engine sampling)
target_include_directories(fuzz_grammar PRIVATE "${PROJECT_SOURCE_DIR}/tests")
