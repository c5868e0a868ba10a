// SPDX-License-Identifier: BSD-3-Clause
// Command-line options of the example.
#pragma once

#include <string>
#include <vector>

struct Options {
    std::string geometry, events, output;  // files
    std::vector<std::string> models;
    std::vector<std::string> commands;  // of Geant4, before the run
    std::string detector = "clic-like", physics = "FTFP_BERT";
    int module = 0;
    int threads = 0;  // 0: a run manager without threads
    int first = 0, count = -1;
    double production_cut = 0.7;  // mm
    bool fast = true, direct = false, all_species = false;
};

// Throws std::invalid_argument with what is wrong.
Options read_options(int argc, char** argv);

extern const char* const USAGE;
