# cmake --install: the library, its headers, the program, and what lets CMake and pkg-config find them. The component
# mullama_library is all that a binding needs.
include(CMakePackageConfigHelpers)

install(TARGETS mullama_shared EXPORT mullamaTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  COMPONENT mullama_library NAMELINK_COMPONENT mullama_library)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/mullama" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  COMPONENT mullama_library)
if(TARGET mullama)
  install(TARGETS mullama RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT mullama_program)
endif()
install(EXPORT mullamaTargets NAMESPACE mullama:: FILE mullamaTargets.cmake DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/mullama"
  COMPONENT mullama_library)
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/mullamaConfig.cmake.in" "${PROJECT_BINARY_DIR}/mullamaConfig.cmake"
  INSTALL_DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/mullama")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/mullamaConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/mullamaConfig.cmake" "${PROJECT_BINARY_DIR}/mullamaConfigVersion.cmake"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/mullama" COMPONENT mullama_library)
file(RELATIVE_PATH MULLAMA_PKGCONFIG_TO_PREFIX "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
configure_file("${PROJECT_SOURCE_DIR}/cmake/mullama.pc.in" "${PROJECT_BINARY_DIR}/mullama.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/mullama.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT mullama_library)
