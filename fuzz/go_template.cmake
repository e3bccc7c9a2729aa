mullama_fuzzer(fuzz_go_template SOURCES go_template.cpp DEPENDS chat jinja)
