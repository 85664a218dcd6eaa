# The Debian packages of scripts/setup.sh, as imported targets.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(libuv REQUIRED IMPORTED_TARGET libuv>=1.44)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson>=2.14)
pkg_check_modules(libcrypto REQUIRED IMPORTED_TARGET libcrypto>=3.0)
find_package(msgpack 4.0 REQUIRED)

# Boost.Context is used through its two C-linkage functions and linked statically, so that no C++ runtime comes along.
find_library(TROUPE_BOOST_CONTEXT NAMES libboost_context.a REQUIRED)
add_library(troupe_fcontext STATIC IMPORTED)
set_target_properties(troupe_fcontext PROPERTIES IMPORTED_LOCATION ${TROUPE_BOOST_CONTEXT})
