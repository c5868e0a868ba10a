// SPDX-License-Identifier: BSD-3-Clause
// The table of the C interface, and statuses.
#include "fastcalo/c_api.h"

#include "c_api/c_api_support.hpp"

#ifndef FASTCALO_VERSION
#error "CMake defines FASTCALO_VERSION"
#endif

namespace fastcalo::core::capi {
namespace {

fastcalo_code status_code(const fastcalo_status* status) {
    return status == nullptr ? FASTCALO_OK : static_cast<fastcalo_code>(status->code);
}

const char* status_message(const fastcalo_status* status) { return status == nullptr ? "" : status->message.c_str(); }

void status_release(fastcalo_status* status) {
    if (status != no_memory()) delete status;
}

const char* library_version() { return FASTCALO_VERSION; }

std::uint64_t digest_of(std::int64_t run, std::int64_t luminosity_block, std::int64_t event, std::uint64_t repeat) {
    return event_digest(run, luminosity_block, event, repeat);
}

fastcalo_api make_table() noexcept {
    fastcalo_api api{};
    api.version = FASTCALO_API_VERSION;
    api.library_version = library_version;
    api.status_code = status_code;
    api.status_message = status_message;
    api.status_release = status_release;
    api.event_digest = digest_of;
    add_model_functions(api);
    add_detector_functions(api);
    add_simulation_functions(api);
    return api;
}

}  // namespace

fastcalo_status* no_memory() noexcept {
    static fastcalo_status status{Code::out_of_memory, "out of memory"};
    return &status;
}

}  // namespace fastcalo::core::capi

const fastcalo_api* fastcalo_get_api(uint32_t version) {
    static const fastcalo_api table = fastcalo::core::capi::make_table();
    (void)fastcalo::core::capi::no_memory();
    return version >= 1 && version <= FASTCALO_API_VERSION ? &table : nullptr;
}
