mullama_fuzzer(fuzz_http_requests SOURCES http_requests.cpp DEPENDS server)
