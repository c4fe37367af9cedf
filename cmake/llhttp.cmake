# llhttp, another HTTP parser, which tests and fuzzers compare ours with. Its sources are
# fetched by tools/get_llhttp.sh and are no part of what ships.

set(VALET_LLHTTP_DIR "${PROJECT_SOURCE_DIR}/build/llhttp" CACHE PATH "where llhttp's sources are")
if(EXISTS ${VALET_LLHTTP_DIR}/llhttp.c)
  add_library(llhttp STATIC EXCLUDE_FROM_ALL
    ${VALET_LLHTTP_DIR}/api.c ${VALET_LLHTTP_DIR}/http.c ${VALET_LLHTTP_DIR}/llhttp.c)
  target_include_directories(llhttp SYSTEM PUBLIC ${VALET_LLHTTP_DIR})
  target_compile_options(llhttp PRIVATE -w)
endif()
