# Builds the library alone and installs it, once for all bindings of this repository:
#   cmake -P cmake/build_library.cmake     its prefix is then build-library/install
# At that depth a compiler cache that works with relative paths knows the objects of other builds.
cmake_minimum_required(VERSION 3.25)
get_filename_component(repository "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
set(build "${repository}/build-library")
file(MAKE_DIRECTORY "${build}")
file(LOCK "${build}" DIRECTORY GUARD PROCESS)
foreach(step
    "-G;Ninja;-S;${repository};-B;${build};-DCMAKE_BUILD_TYPE=Release;-DMULLAMA_BUILD_TESTS=OFF;-DMULLAMA_BUILD_PROGRAM=OFF"
    "--build;${build};--target;mullama_shared"
    "--install;${build};--component;mullama_library;--prefix;${build}/install")
  list(JOIN step ";" arguments)
  execute_process(COMMAND "${CMAKE_COMMAND}" ${arguments} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
