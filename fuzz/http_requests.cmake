mullama_fuzzer(fuzz_http_requests SOURCES http_requests.cpp DEPENDS server)
target_include_directories(fuzz_http_requests PRIVATE "${PROJECT_SOURCE_DIR}/tests")
