# Compiler settings shared by every target, and the two functions with which folders declare themselves.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# -O3 buys nothing outside the kernels, which ask for it themselves, and costs a third more time to build.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

find_program(MULLAMA_CCACHE ccache)
if(MULLAMA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${MULLAMA_CCACHE}")
endif()

# Contraction is off so that a product and a sum round the same way on every instruction set;
# kernels that want a fused multiply-add say so.
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror -ffp-contract=off)
if(MULLAMA_SANITIZE)
  add_compile_options(-fsanitize=${MULLAMA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${MULLAMA_SANITIZE})
  # Instrumented, GCC takes members of std::optional for uninitialized.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized)
  endif()
endif()

# mullama_module(NAME SOURCES a.cpp ... DEPENDS base ... LIBRARIES fmt::fmt ...)
# declares the static library mullama_NAME for one folder of src/.
function(mullama_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  add_library(mullama_${name} STATIC ${ARG_SOURCES})
  target_include_directories(mullama_${name} PUBLIC "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/include")
  list(TRANSFORM ARG_DEPENDS PREPEND mullama_)
  target_link_libraries(mullama_${name} PUBLIC ${ARG_DEPENDS} ${ARG_LIBRARIES})
  # What fuzzers steer by. Tests use the same objects: without a fuzzer, the sanitizers' own library ignores the reports.
  if(MULLAMA_BUILD_FUZZERS)
    target_compile_options(mullama_${name} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# mullama_test(NAME SOURCES a_test.cpp ... DEPENDS text ... [LABELS slow])
# declares one GoogleTest binary, run by ctest as a whole.
function(mullama_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPENDS;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPENDS PREPEND mullama_)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} ${ARG_LIBRARIES} GTest::gtest_main)
  # Some tests leave out what a sanitizer makes untrue. GCC tells them of it by this macro, Clang by none.
  if(MULLAMA_SANITIZE MATCHES address AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_definitions(${name} PRIVATE __SANITIZE_ADDRESS__=1)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  # ThreadSanitizer makes what threads do together ten times slower and more.
  if(MULLAMA_SANITIZE MATCHES thread)
    math(EXPR ARG_TIMEOUT "3 * ${ARG_TIMEOUT}")
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    ENVIRONMENT "MULLAMA_TEST_SOURCE_DIR=${PROJECT_SOURCE_DIR};MULLAMA_TEST_BINARY_DIR=${PROJECT_BINARY_DIR}")
endfunction()
