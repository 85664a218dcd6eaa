# What `cmake --install` puts where, and how others find it again: find_package(Troupe) and pkg-config.
#
# Two export sets, since they need different things of their users' machines: the shared libraries bring their own
# dependencies along, the static ones ask the consumer for libuv, jansson, libcrypto, msgpack-c and Boost.Context at link time
# (find_package(Troupe COMPONENTS static)).
include(CMakePackageConfigHelpers)

set(TROUPE_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/Troupe)
set(troupe_shared troupe)
set(troupe_static troupe-static)
if(TARGET troupe-broker)
  list(APPEND troupe_shared troupe-broker)
  list(APPEND troupe_static troupe-broker-static)
endif()
# One name a library, the same in the build tree and for a consumer: troupe::troupe, troupe::broker, troupe::*-static.
foreach(lib ${troupe_shared} ${troupe_static})
  string(REGEX REPLACE "^troupe-broker" "broker" exported ${lib})
  set_target_properties(${lib} PROPERTIES EXPORT_NAME ${exported})
endforeach()

install(TARGETS ${troupe_shared} EXPORT TroupeShared
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
  FILE_SET HEADERS COMPONENT development)
install(TARGETS ${troupe_static} EXPORT TroupeStatic
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
  FILE_SET HEADERS COMPONENT development)
foreach(set Shared Static)
  string(TOLOWER ${set} file)
  install(EXPORT Troupe${set} NAMESPACE troupe:: FILE troupe-${file}-targets.cmake DESTINATION ${TROUPE_CMAKEDIR}
    COMPONENT development)
endforeach()

# The programs: a target exists when its folder does. The C library looks for argp_program_version in the program, where
# it must not be hidden, or --version is an unknown flag.
foreach(program brokerd troupe-cli)
  if(TARGET ${program})
    set_target_properties(${program} PROPERTIES C_VISIBILITY_PRESET default)
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
  endif()
endforeach()

configure_package_config_file(cmake/troupe-config.cmake.in ${PROJECT_BINARY_DIR}/troupe-config.cmake
  INSTALL_DESTINATION ${TROUPE_CMAKEDIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/troupe-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/troupe-config.cmake ${PROJECT_BINARY_DIR}/troupe-config-version.cmake
  DESTINATION ${TROUPE_CMAKEDIR} COMPONENT development)

# The .pc files say where they are by ${pcfiledir}, so that an installed tree can be moved as a whole.
file(RELATIVE_PATH TROUPE_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" TROUPE_PC_TO_PREFIX "${TROUPE_PC_TO_PREFIX}")
set(troupe_pcs troupe)
if(TARGET troupe-broker)
  list(APPEND troupe_pcs troupe-broker)
endif()
foreach(pc ${troupe_pcs})
  configure_file(cmake/${pc}.pc.in ${PROJECT_BINARY_DIR}/${pc}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${pc}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endforeach()
