// SPDX-License-Identifier: BSD-3-Clause
// Choice of the kernels for the processor that runs them.
#include <cstdlib>
#include <cstring>

#include "graph/kernels/kernels.hpp"

namespace fastcalo::graph {

namespace portable {
const Kernels& table();
}
#ifdef FASTCALO_X86_LEVELS
namespace x86_64_v3 {
const Kernels& table();
}
namespace x86_64_v4 {
const Kernels& table();
}
#endif

namespace {

const Kernels& choose() {
    const char* asked = std::getenv("FASTCALO_KERNELS");
    const Kernels* best = &portable::table();
#ifdef FASTCALO_X86_LEVELS
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512cd");
    const Kernels* const levels[] = {v3 ? &x86_64_v3::table() : nullptr, v4 ? &x86_64_v4::table() : nullptr};
    if (asked && std::strcmp(asked, best->name) == 0) return *best;
    for (const Kernels* level : levels) {
        if (!level) continue;
        best = level;
        if (asked && std::strcmp(asked, level->name) == 0) return *level;
    }
#else
    static_cast<void>(asked);
#endif
    return *best;
}

}  // namespace

const Kernels& kernels() {
    static const Kernels& chosen = choose();
    return chosen;
}

}  // namespace fastcalo::graph
