/* SPDX-License-Identifier: BSD-3-Clause */
/* The C interface from C, through the shared library: versions of the table, and a status. */
#include <stdio.h>
#include <string.h>

#include "fastcalo/c_api.h"

#define CHECK(condition)                                        \
    if (!(condition)) {                                         \
        fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
        return 1;                                               \
    }

int main(void) {
    const fastcalo_api* api = fastcalo_get_api(FASTCALO_API_VERSION);
    fastcalo_model* model = NULL;
    fastcalo_status* status = NULL;
    CHECK(api != NULL);
    CHECK(fastcalo_get_api(0) == NULL);
    CHECK(fastcalo_get_api(FASTCALO_API_VERSION + 1) == NULL);
    CHECK(api->version == FASTCALO_API_VERSION);
    CHECK(strlen(api->library_version()) > 0);
    /* the examples of docs/models/models.md */
    CHECK(api->event_digest(7, 0, 42, 0) == 0x6EAB8625DF268FBCu);
    CHECK(api->event_digest(7, 3, 42, 0) == 0x4F1091D3CBB321DCu);
    status = api->model_open("no such file.onnx", NULL, &model);
    CHECK(status != NULL && model == NULL);
    CHECK(api->status_code(status) == FASTCALO_NOT_FOUND);
    CHECK(strstr(api->status_message(status), "no such file.onnx") != NULL);
    api->status_release(status);
    CHECK(api->status_code(NULL) == FASTCALO_OK);
    api->status_release(NULL);
    api->model_release(NULL);
    return 0;
}
