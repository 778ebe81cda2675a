# The libraries that the program stands on.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.88)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(EXPAT REQUIRED IMPORTED_TARGET expat>=2.5)

# Debian 13 packages a libmicrohttpd that is new enough; elsewhere scripts/install-libmicrohttpd puts one here.
# CMake adds the folder of a library outside the system's own to the RPATH by itself.
set(saved_pkg_config_path "$ENV{PKG_CONFIG_PATH}")
set(ENV{PKG_CONFIG_PATH} "${PROJECT_SOURCE_DIR}/.deps/libmicrohttpd/lib/pkgconfig:${saved_pkg_config_path}")
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd>=1.0.1)
set(ENV{PKG_CONFIG_PATH} "${saved_pkg_config_path}")
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
