/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * C interface of fastcalo: one versioned table of functions.
 *
 *     const fastcalo_api* api = fastcalo_get_api(FASTCALO_API_VERSION);   // NULL: this library is older
 *     fastcalo_model* model = NULL;
 *     fastcalo_status* status = api->model_open("em.onnx", NULL, &model);
 *     if (status != NULL) { puts(api->status_message(status)); api->status_release(status); }
 *
 * Rules of the table:
 *   - Entries are appended, never changed: a program that was compiled with version 1 runs with every later library.
 *     It may ask for the oldest version that has all it calls: each entry states since which version it is there.
 *   - Functions that can fail return a status: NULL where all is well, else an object with a code and a message, which
 *     the caller releases. Nothing is thrown, and nothing is written to the outputs, but for buffers half filled.
 *   - Structures that the caller fills begin with their size, so that they can grow: fill it with sizeof. Numbers that
 *     are not needed are left zero.
 *   - Pointers that are given out live as long as the object that they were got from, or until it is filled again.
 *   - Models, detectors and simulations are never changed: many threads may use one at a time. Showers and hits are
 *     for one thread at a time. Simulations keep what they were made of: models may be released before them.
 *
 * Units: GeV, mm, rad, tesla. Arrays are in C order.
 */
#ifndef FASTCALO_C_API_H
#define FASTCALO_C_API_H

#include <stddef.h>
#include <stdint.h>

#include "fastcalo/export.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FASTCALO_API_VERSION 2

typedef struct fastcalo_status fastcalo_status;
typedef struct fastcalo_model fastcalo_model;
typedef struct fastcalo_showers fastcalo_showers;
typedef struct fastcalo_detector fastcalo_detector;
typedef struct fastcalo_simulation fastcalo_simulation;
typedef struct fastcalo_hits fastcalo_hits;

typedef enum fastcalo_code {
    FASTCALO_OK = 0,
    FASTCALO_INVALID_ARGUMENT = 1, /* a null pointer, a wrong size, a number that makes no sense */
    FASTCALO_NOT_FOUND = 2,        /* no such file, section, tensor or library */
    FASTCALO_CONTRACT = 3,         /* the file is no model, is damaged, or a clause cannot be met */
    FASTCALO_DETECTOR = 4,         /* the description of a detector cannot be used */
    FASTCALO_OUT_OF_DOMAIN = 5,    /* a particle outside the model's validity */
    FASTCALO_BUFFER_TOO_SMALL = 6, /* a buffer of the caller, or its noise, is too short */
    FASTCALO_BACKEND = 7,          /* the graph could not be run, or the library that runs it not be loaded */
    FASTCALO_OUT_OF_MEMORY = 8,
    FASTCALO_INTERNAL = 9
} fastcalo_code;

typedef enum fastcalo_backend {
    FASTCALO_BACKEND_AUTO = 0, /* native where it is built in and knows the graph, else onnxruntime */
    FASTCALO_BACKEND_NATIVE = 1,
    FASTCALO_BACKEND_ONNXRUNTIME = 2
} fastcalo_backend;

/* Why particles are, or are not, simulated. */
typedef enum fastcalo_reason {
    FASTCALO_SIMULATED = 0,
    FASTCALO_NOT_FINAL_STATE = 1,
    FASTCALO_BAD_NUMBERS = 2,
    FASTCALO_INVISIBLE = 3,
    FASTCALO_UNKNOWN_SPECIES = 4,
    FASTCALO_BORN_OUTSIDE = 5,
    FASTCALO_MISSES_CALORIMETER = 6,
    FASTCALO_ENERGY_TOO_LOW = 7,
    FASTCALO_ENERGY_TOO_HIGH = 8,
    FASTCALO_ANGLE_TOO_LARGE = 9,
    FASTCALO_AT_REST = 10,
    FASTCALO_DECAYED = 11 /* never given by this library: decays are the host's */
} fastcalo_reason;
#define FASTCALO_REASONS 12

typedef enum fastcalo_distribution {
    FASTCALO_UNIFORM = 0, /* strictly between 0 and 1 */
    FASTCALO_NORMAL = 1,  /* mean 0, standard deviation 1 */
    FASTCALO_LOGISTIC = 2 /* mean 0, scale 1 */
} fastcalo_distribution;

typedef struct fastcalo_model_options {
    size_t struct_size;
    fastcalo_backend backend;
    const char* onnxruntime_library; /* path; NULL: that of FASTCALO_ONNXRUNTIME, or what the loader finds */
    int32_t threads;                 /* of ONNX Runtime within a call; 0 for one */
} fastcalo_model_options;

typedef struct fastcalo_model_info {
    size_t struct_size;
    const char* name;
    const char* backend;   /* "native" or "onnxruntime" */
    const char* contract;  /* JSON, as it stands in the file */
    const char* file_hash; /* SHA-256 of the file, hexadecimal */
    int32_t format;
    int32_t
        whole; /* 1: entry in the frame of the module, hits anywhere; 0: entry from the centre of the cell, window */
    double lowest_kinetic_energy, highest_kinetic_energy; /* GeV */
    double max_angle;                                     /* rad, to the normal of the layers */
    size_t n_species;
    const int32_t* species; /* PDG codes */
    size_t n_sections;
    size_t n_noise;
} fastcalo_model_info;

typedef struct fastcalo_model_section {
    size_t struct_size;
    const char* name;
    int32_t window_x, window_y, layers;
    double threshold; /* GeV */
} fastcalo_model_section;

typedef struct fastcalo_noise_info {
    size_t struct_size;
    const char* name;
    fastcalo_distribution distribution;
    int32_t has_capacity; /* 1: as many rows as the energy asks for; 0: one row, of all numbers of a shower */
    double capacity[3];   /* a, b, c: floor(a + b E^c) + 1 rows for E in GeV */
    size_t width;         /* numbers in a row */
} fastcalo_noise_info;

/* Kinematics of n particles. */
typedef struct fastcalo_particles {
    size_t struct_size;
    size_t n;
    const int32_t* pdg;
    const float* kinetic_energy; /* GeV */
    const float* direction;      /* [n, 3], unit vectors in the frame of the module, z along the normal, inwards */
    const float* entry;          /* [n, 2], mm: see fastcalo_model_info.whole */
} fastcalo_particles;

/* What n particles draw their random numbers by: the same keys, the same showers, whatever the batch or thread. */
typedef struct fastcalo_keys {
    size_t struct_size;
    uint64_t seed;
    const uint64_t* event;    /* [n], see event_digest; NULL: that of run 0, event 0 */
    const uint32_t* particle; /* [n], number of the particle in its event; NULL: 0, 1, 2, ... */
} fastcalo_keys;

/* A tensor of noise: float32 [n, rows, width]; rows is 1 where there is no capacity. */
typedef struct fastcalo_noise {
    const float* data;
    int64_t rows;
} fastcalo_noise;

/* Deposits of showers in one section, grouped by shower. */
typedef struct fastcalo_section_showers {
    size_t struct_size;
    size_t n;
    const int64_t* shower; /* row of the particle */
    const int32_t* x;      /* cells counted from the one that the straight line of flight crosses in the mid-plane of */
    const int32_t* y;      /* the layer's sensor */
    const int32_t* layer;
    const float* deposit; /* GeV */
} fastcalo_section_showers;

/* The same into buffers of the caller, each of `capacity` numbers, or NULL where it is not wanted. */
typedef struct fastcalo_section_showers_buffers {
    size_t struct_size;
    size_t capacity;
    int64_t* shower;
    int32_t* x;
    int32_t* y;
    int32_t* layer;
    float* deposit;
} fastcalo_section_showers_buffers;

typedef struct fastcalo_detector_info {
    size_t struct_size;
    const char* name;
    const char* stack_hash;
    double field_tesla;
    int32_t n_modules; /* staves, then the endcap at +z, then the one at -z */
    size_t n_sections; /* from the face inwards */
} fastcalo_detector_info;

typedef struct fastcalo_detector_section {
    size_t struct_size;
    const char* name;
    int64_t system;
    int32_t layers;
    double cell_mm;
    double threshold;       /* GeV */
    const double* sensor_z; /* [layers], depth of the middle of each sensor behind the face, mm */
} fastcalo_detector_section;

/* Cells of a section, [n] each; cell (0, 0) is centred on the origin of the module's frame. */
typedef struct fastcalo_cells {
    size_t struct_size;
    size_t n;
    int32_t* module;
    int32_t* layer;
    int32_t* x;
    int32_t* y;
} fastcalo_cells;

/* Where particles meet the face, [n] each; any may be NULL. Of use where the reason is FASTCALO_SIMULATED. */
typedef struct fastcalo_arrivals {
    size_t struct_size;
    int8_t* reason;
    int32_t* module;
    double* entry;     /* [n, 2], in the frame of the module, mm */
    double* direction; /* [n, 3], unit vector in the frame of the module */
    double* position;  /* [n, 3], global, mm */
} fastcalo_arrivals;

/* Events: particles one after the other, cut by offsets. Arrays may be NULL where a default is named. */
typedef struct fastcalo_events {
    size_t struct_size;
    int64_t n_events;
    const int64_t* offsets;          /* [n_events + 1], the first is 0; n is the last */
    const int32_t* pdg;              /* [n] */
    const int32_t* status;           /* [n], 1 for the final state; NULL: all are */
    const double* momentum;          /* [n, 3], GeV */
    const double* vertex;            /* [n, 3], mm; NULL: the origin */
    const double* mass;              /* [n], GeV; NULL, or NaN for some: those of the Particle Data Group */
    const uint32_t* number;          /* [n], for the random numbers; NULL: the index in the event */
    const int64_t* run;              /* [n_events]; NULL: 0 */
    const int64_t* event;            /* [n_events]; NULL: 0, 1, 2, ... */
    const int64_t* luminosity_block; /* [n_events]; NULL: 0, which counts as none */
    const uint64_t* repeat;          /* [n_events], distinguishes events that are otherwise known alike; NULL: 0 */
} fastcalo_events;

/* Flags of `simulate`. */
#define FASTCALO_KEEP_PARTICLES_APART 1u /* hits of different particles in one cell are not summed */

/* Hits of one section, cut into events by offsets; within an event in the order of module, layer, x and y. */
typedef struct fastcalo_section_hits {
    size_t struct_size;
    size_t n;
    const int64_t* offsets; /* [n_events + 1] */
    const uint64_t* cell_id;
    const float* energy;   /* GeV */
    const float* position; /* [n, 3], centre of the cell, half-way through the sensor; global, mm */
    const int32_t* layer;
    const int64_t* particle; /* row of the particle that made the hit; -1 where several did */
} fastcalo_section_hits;

typedef struct fastcalo_section_hits_buffers {
    size_t struct_size;
    size_t capacity;
    uint64_t* cell_id;
    float* energy;
    float* position; /* 3 capacity numbers */
    int32_t* layer;
    int64_t* particle;
} fastcalo_section_hits_buffers;

typedef struct fastcalo_api {
    uint32_t version; /* of the table, at least what was asked for */

    const char* (*library_version)(void);

    fastcalo_code (*status_code)(const fastcalo_status* status); /* FASTCALO_OK for NULL */
    const char* (*status_message)(const fastcalo_status* status);
    void (*status_release)(fastcalo_status* status);

    /* 64 bits that stand for an event. */
    uint64_t (*event_digest)(int64_t run, int64_t luminosity_block, int64_t event, uint64_t repeat);

    fastcalo_status* (*model_open)(const char* path, const fastcalo_model_options* options, fastcalo_model** model);
    fastcalo_status* (*model_from_memory)(const void* image, size_t size, const char* name,
                                          const fastcalo_model_options* options, fastcalo_model** model);
    void (*model_release)(fastcalo_model* model);
    fastcalo_status* (*model_info)(const fastcalo_model* model, fastcalo_model_info* info);
    fastcalo_status* (*model_section)(const fastcalo_model* model, size_t index, fastcalo_model_section* section);
    fastcalo_status* (*model_noise)(const fastcalo_model* model, size_t index, fastcalo_noise_info* info);

    /* Rows that tensor `index` must have for a batch of these energies. */
    fastcalo_status* (*noise_rows)(const fastcalo_model* model, size_t index, const float* kinetic_energy, size_t n,
                                   int64_t* rows);
    /* Draws tensor `index` for n showers: float32 [n, rows, width] into `out`, which holds `capacity` numbers.
     */
    fastcalo_status* (*noise_draw)(const fastcalo_model* model, size_t index, const float* kinetic_energy, size_t n,
                                   const fastcalo_keys* keys, int64_t rows, float* out, size_t capacity);

    fastcalo_status* (*showers_create)(fastcalo_showers** showers);
    void (*showers_release)(fastcalo_showers* showers);
    /* Showers of any number of particles. All must be within the model's validity. */
    fastcalo_status* (*generate)(const fastcalo_model* model, const fastcalo_particles* particles,
                                 const fastcalo_keys* keys, fastcalo_showers* showers);
    /* The same with the caller's own noise, n_noise tensors in the contract's order, in one batch. */
    fastcalo_status* (*generate_from_noise)(const fastcalo_model* model, const fastcalo_particles* particles,
                                            const fastcalo_noise* noise, size_t n_noise, fastcalo_showers* showers);
    fastcalo_status* (*showers_section)(const fastcalo_showers* showers, size_t index, fastcalo_section_showers* view);
    /* n: number of deposits, also where the buffers are too small for them. */
    fastcalo_status* (*showers_copy)(const fastcalo_showers* showers, size_t index,
                                     const fastcalo_section_showers_buffers* buffers, size_t* n);

    /* By the name of a shipped description ("clic-like"), or from a file with the JSON of one. */
    fastcalo_status* (*detector_open)(const char* name_or_path, fastcalo_detector** detector);
    fastcalo_status* (*detector_from_json)(const char* text, size_t size, const char* name,
                                           fastcalo_detector** detector);
    void (*detector_release)(fastcalo_detector* detector);
    fastcalo_status* (*detector_info)(const fastcalo_detector* detector, fastcalo_detector_info* info);
    fastcalo_status* (*detector_section)(const fastcalo_detector* detector, size_t index,
                                         fastcalo_detector_section* section);
    fastcalo_status* (*encode)(const fastcalo_detector* detector, size_t section, const fastcalo_cells* cells,
                               uint64_t* cell_id);
    fastcalo_status* (*decode)(const fastcalo_detector* detector, size_t section, const uint64_t* cell_id,
                               const fastcalo_cells* cells);
    /* Global positions [n, 3] of the cells' centres, mm, half-way through the sensor. */
    fastcalo_status* (*cell_centre)(const fastcalo_detector* detector, size_t section, const fastcalo_cells* cells,
                                    double* position);
    /* charge [n] in units of the positron's, or NULL: by pdg, of which one may be NULL. */
    fastcalo_status* (*propagate)(const fastcalo_detector* detector, size_t n, const int32_t* pdg, const double* charge,
                                  const double* momentum, const double* vertex, const fastcalo_arrivals* arrivals);

    fastcalo_status* (*simulation_create)(const fastcalo_detector* detector, const fastcalo_model* const* models,
                                          size_t n_models, fastcalo_simulation** simulation);
    void (*simulation_release)(fastcalo_simulation* simulation);
    fastcalo_status* (*hits_create)(fastcalo_hits** hits);
    void (*hits_release)(fastcalo_hits* hits);
    fastcalo_status* (*simulate)(const fastcalo_simulation* simulation, const fastcalo_events* events, uint64_t seed,
                                 uint32_t flags, fastcalo_hits* hits);
    fastcalo_status* (*hits_section)(const fastcalo_hits* hits, size_t index, fastcalo_section_hits* view);
    fastcalo_status* (*hits_copy)(const fastcalo_hits* hits, size_t index, const fastcalo_section_hits_buffers* buffers,
                                  size_t* n);
    /* Reason of every particle, [n]. */
    fastcalo_status* (*hits_reasons)(const fastcalo_hits* hits, const int8_t** reason, size_t* n);
    const char* (*reason_text)(int reason); /* NULL for a number that is no reason */

    /* Since version 2. */

    /* What `simulate` would do with every particle, [n], without simulating any. */
    fastcalo_status* (*reasons)(const fastcalo_simulation* simulation, const fastcalo_events* events, int8_t* reason);
    /* The frame of a module: its origin [3] in mm, and the directions of its axes x, y, z [3, 3], all global. */
    fastcalo_status* (*module_frame)(const fastcalo_detector* detector, int32_t module, double* origin, double* axes);
} fastcalo_api;

/* The table, or NULL where `version` is 0 or newer than this library. */
FASTCALO_EXPORT const fastcalo_api* fastcalo_get_api(uint32_t version);

#ifdef __cplusplus
}
#endif

#endif /* FASTCALO_C_API_H */
