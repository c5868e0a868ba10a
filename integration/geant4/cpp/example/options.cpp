// SPDX-License-Identifier: BSD-3-Clause
#include "options.hpp"

#include <functional>
#include <map>
#include <stdexcept>

const char* const USAGE =
    "event_loop --geometry FILE --events FILE --output HITS.jsonl --model FILE.onnx [--model ...]\n"
    "  --without         Geant4 tracks everything\n"
    "  --direct          hits of the models go straight to the cells, not through the sensitive detectors\n"
    "  --all-species     count species without a model among those that are refused\n"
    "  --threads N       a run manager with N threads (0: without threads)\n"
    "  --first N         first event of the file\n"
    "  --count N         number of events\n"
    "  --detector NAME   of the library, or a file with the JSON of one (clic-like)\n"
    "  --module N        that the volumes stand for (0)\n"
    "  --physics NAME    list of Geant4's (FTFP_BERT)\n"
    "  --cut MM          production cut (0.7)\n"
    "  --command TEXT    a command of Geant4's before the run, such as '/fastcalo/minEnergy 1 GeV'\n"
    "write_inputs.py writes geometry and events.\n";

Options read_options(int argc, char** argv) {
    Options o;
    const std::map<std::string, std::function<void(const std::string&)>> with_value{
        {"--geometry", [&](const std::string& v) { o.geometry = v; }},
        {"--events", [&](const std::string& v) { o.events = v; }},
        {"--output", [&](const std::string& v) { o.output = v; }},
        {"--model", [&](const std::string& v) { o.models.push_back(v); }},
        {"--command", [&](const std::string& v) { o.commands.push_back(v); }},
        {"--detector", [&](const std::string& v) { o.detector = v; }},
        {"--physics", [&](const std::string& v) { o.physics = v; }},
        {"--module", [&](const std::string& v) { o.module = std::stoi(v); }},
        {"--threads", [&](const std::string& v) { o.threads = std::stoi(v); }},
        {"--first", [&](const std::string& v) { o.first = std::stoi(v); }},
        {"--count", [&](const std::string& v) { o.count = std::stoi(v); }},
        {"--cut", [&](const std::string& v) { o.production_cut = std::stod(v); }},
    };
    const std::map<std::string, std::function<void()>> without_value{
        {"--without", [&] { o.fast = false; }},
        {"--direct", [&] { o.direct = true; }},
        {"--all-species", [&] { o.all_species = true; }},
    };
    for (int k = 1; k < argc; ++k) {
        const std::string name = argv[k];
        if (const auto flag = without_value.find(name); flag != without_value.end()) {
            flag->second();
        } else if (const auto option = with_value.find(name); option != with_value.end() && k + 1 < argc) {
            option->second(argv[++k]);
        } else {
            throw std::invalid_argument("'" + name + "' is no option, or lacks its value");
        }
    }
    if (o.geometry.empty() || o.events.empty() || o.output.empty() || o.models.empty())
        throw std::invalid_argument("--geometry, --events, --output and --model are needed");
    return o;
}
