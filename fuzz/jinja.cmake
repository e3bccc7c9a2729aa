mullama_fuzzer(fuzz_jinja SOURCES jinja.cpp DEPENDS jinja)
