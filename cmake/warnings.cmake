# Warnings and sanitizers, linked privately into every target of ours. -Werror lives in the presets.
add_library(troupe_warnings INTERFACE)
target_compile_options(troupe_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wcast-qual -Wno-missing-field-initializers)
target_compile_definitions(troupe_warnings INTERFACE _POSIX_C_SOURCE=200809L _GNU_SOURCE)
if(TROUPE_SANITIZE)
  target_compile_options(troupe_warnings INTERFACE -fsanitize=${TROUPE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(troupe_warnings INTERFACE -fsanitize=${TROUPE_SANITIZE})
endif()

# troupe_objects(NAME SOURCES...): one folder's code as an object library that the libraries are made of.
function(troupe_objects name)
  add_library(${name} OBJECT ${ARGN})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  foreach(folder transports clients actors broker)
    target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/${folder}/include>)
  endforeach()
  target_link_libraries(${name} PRIVATE troupe_warnings PkgConfig::libuv PkgConfig::jansson PkgConfig::libcrypto msgpackc Threads::Threads)
endfunction()
