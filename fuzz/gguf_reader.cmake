mullama_fuzzer(fuzz_gguf_reader SOURCES gguf_reader.cpp DEPENDS quant)
