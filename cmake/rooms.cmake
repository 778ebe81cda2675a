# The rooms of the program, from the bottom up, and what each may use: other rooms, and libraries.
# CMakeLists.txt builds and links by this table; cmake/check-arrows.cmake checks the #include lines by it.
set(ROOMS base config net aws s3 logs http handlers)

set(ROOM_base_USES)
set(ROOM_base_LIBRARIES threads)

set(ROOM_config_USES base)
set(ROOM_config_LIBRARIES)

set(ROOM_net_USES base)
set(ROOM_net_LIBRARIES curl)

set(ROOM_aws_USES net base)
set(ROOM_aws_LIBRARIES openssl jansson)

set(ROOM_s3_USES aws net base)
set(ROOM_s3_LIBRARIES expat openssl)

set(ROOM_logs_USES aws net base)
set(ROOM_logs_LIBRARIES jansson)

set(ROOM_http_USES net base config)
set(ROOM_http_LIBRARIES microhttpd jansson openssl)

set(ROOM_handlers_USES http s3 config base)
set(ROOM_handlers_LIBRARIES jansson)

# src/main.c and its neighbours at the top of src/ may use every room and library.

# Which CMake target a library is, and which #include lines belong to it.
set(LIBRARY_threads_TARGET Threads::Threads)
set(LIBRARY_threads_INCLUDES "^pthread\\.h$")
set(LIBRARY_curl_TARGET PkgConfig::CURL)
set(LIBRARY_curl_INCLUDES "^curl/")
set(LIBRARY_openssl_TARGET OpenSSL::Crypto)
set(LIBRARY_openssl_INCLUDES "^openssl/")
set(LIBRARY_jansson_TARGET PkgConfig::JANSSON)
set(LIBRARY_jansson_INCLUDES "^jansson\\.h$")
set(LIBRARY_expat_TARGET PkgConfig::EXPAT)
set(LIBRARY_expat_INCLUDES "^expat\\.h$")
set(LIBRARY_microhttpd_TARGET PkgConfig::MICROHTTPD)
set(LIBRARY_microhttpd_INCLUDES "^microhttpd\\.h$")
set(LIBRARIES curl openssl jansson expat microhttpd)
