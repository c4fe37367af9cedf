# Compiler settings and the functions that folders use.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

# -ffp-contract=off: a result's bits must not depend on where the compiler finds
# a multiply next to an add; fused operations are written as intrinsics.
add_compile_options(
  -ffp-contract=off -fno-math-errno -fvisibility=hidden -fno-common
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wvla -Wundef -Wpointer-arith -Wcast-qual -Wwrite-strings
  -Wformat=2 -Wconversion -Wno-sign-conversion -Wswitch-enum)
add_compile_definitions(_GNU_SOURCE)

if(VALET_WERROR)
  add_compile_options(-Werror)
endif()
if(VALET_CHECKS)
  add_compile_definitions(VALET_CHECKS=1)
else()
  add_compile_definitions(VALET_CHECKS=0)
endif()
if(VALET_SANITIZE)
  add_compile_options(-fsanitize=${VALET_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${VALET_SANITIZE})
endif()
if(VALET_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
# Counts of blocks are differences of counts of jumps, so what threads lose would show elsewhere.
if(VALET_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()

# valet_folder(NAME SOURCES a.c ... LINK x ...)
# One static library for each folder of src/, found by the others as "src/NAME".
function(valet_folder name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_library(valet_${name} STATIC ${arg_SOURCES})
  target_include_directories(valet_${name} PUBLIC ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../src ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../include)
  target_link_libraries(valet_${name} PUBLIC ${arg_LINK})
endfunction()

# What several tests of a folder compile, once: an object library for the file.
function(valet_test_part out source folder)
  get_filename_component(path ${source} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
  file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR} ${path})
  string(MAKE_C_IDENTIFIER part_${name} target)
  if(NOT TARGET ${target})
    add_library(${target} OBJECT ${path})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(${target} PRIVATE valet_${folder} ${ARGN} PkgConfig::CHECK)
  endif()
  set(${out} $<TARGET_OBJECTS:${target}> PARENT_SCOPE)
endfunction()

# valet_test(TIER FOLDER NAME [LINK x ...] [SOURCES more.c ...] [TIMEOUT s] [ARGS a ...]):
# tests/FOLDER/NAME_test.c, a Check program run by ctest as TIER.FOLDER.NAME and found by the
# label TIER. The tier "slow" is left out of `make test` and is what `make golden` runs.
function(valet_test tier folder name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINK;ARGS" ${ARGN})
  set(target ${tier}_${folder}_${name})
  add_executable(${target} ${CMAKE_CURRENT_SOURCE_DIR}/${name}_test.c)
  foreach(source ${arg_SOURCES})
    valet_test_part(part ${source} ${folder} ${arg_LINK})
    target_sources(${target} PRIVATE ${part})
  endforeach()
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${target} PRIVATE valet_${folder} ${arg_LINK} PkgConfig::CHECK)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  add_test(NAME ${tier}.${folder}.${name} COMMAND ${target} ${arg_ARGS}
           WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${tier}.${folder}.${name} PROPERTIES
    LABELS ${tier} SKIP_RETURN_CODE 77 TIMEOUT ${arg_TIMEOUT})
endfunction()

# valet_fuzz(NAME source.c ... LIBS x ...): the libFuzzer program fuzz_NAME, run by `make fuzz`.
# The target "fuzz" is all of them.
function(valet_fuzz name)
  cmake_parse_arguments(arg "" "" "LIBS" ${ARGN})
  add_executable(fuzz_${name} ${arg_UNPARSED_ARGUMENTS})
  target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(fuzz_${name} PRIVATE ${arg_LIBS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  if(NOT TARGET fuzz)
    add_custom_target(fuzz)
  endif()
  add_dependencies(fuzz fuzz_${name})
endfunction()
