# Each tests/drivers/<x>.c is a program <x>, which drives a room of the program for an end-to-end test.
file(GLOB drivers CONFIGURE_DEPENDS tests/drivers/*.c)
foreach(driver IN LISTS drivers)
    get_filename_component(name ${driver} NAME_WE)
    add_executable(${name} ${driver})
    target_link_libraries(${name} PRIVATE fs_logs)
endforeach()
