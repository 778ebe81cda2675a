# Compiler and linker flags of everything that is built here.
include(CheckCCompilerFlag)

set(CMAKE_C_FLAGS_RELEASE "-O2 -g") # no NDEBUG: a broken assumption must stop, not go on
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
    -Wall
    -Wextra
    -Wpedantic
    -Wshadow
    -Wconversion
    -Wsign-conversion
    -Wstrict-prototypes
    -Wmissing-prototypes
    -Wformat=2
    -Wundef
    -Wvla
    -Werror
)

add_compile_options(-fPIE -fstack-protector-strong -ffunction-sections -fdata-sections)
add_link_options(-pie -Wl,-z,relro,-z,now -Wl,--gc-sections)

if(CMAKE_BUILD_TYPE STREQUAL "Release")
    # Some distributions define it already, with another value.
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

set(SANITIZE "" CACHE STRING "Value of -fsanitize= (empty: none)")
if(SANITIZE)
    add_compile_options(-fsanitize=${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${SANITIZE})
endif()
