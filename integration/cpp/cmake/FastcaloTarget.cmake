# SPDX-License-Identifier: BSD-3-Clause
# Flags that all targets of this project are compiled with.

function(fastcalo_flags target)
  target_compile_features(${target} PUBLIC cxx_std_17)
  set_target_properties(
    ${target}
    PROPERTIES
      CXX_EXTENSIONS OFF
      CXX_VISIBILITY_PRESET hidden
      VISIBILITY_INLINES_HIDDEN ON
      POSITION_INDEPENDENT_CODE ON
  )
  if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    # -ffp-contract=off: the same bits with and without fused multiply-add, here and in NumPy
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -ffp-contract=off)
    if(FASTCALO_WARNINGS_AS_ERRORS)
      target_compile_options(${target} PRIVATE -Werror)
    endif()
  endif()
  if(FASTCALO_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${FASTCALO_SANITIZE} -fno-omit-frame-pointer -g)
    if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
      # loops with checks in them cannot be vectorised, which is no fault of theirs
      target_compile_options(${target} PRIVATE -Wno-pass-failed)
    endif()
    target_link_options(${target} PUBLIC -fsanitize=${FASTCALO_SANITIZE})
  endif()
endfunction()
