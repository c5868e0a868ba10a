// SPDX-License-Identifier: BSD-3-Clause
// Contracts: those of the shipped models, clauses that are refused by their names, files that are damaged.
#include <fstream>
#include <string>

#include "check.hpp"
#include "model/contract.hpp"
#include "model/onnx_file.hpp"

using namespace fastcalo::core;

namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    CHECK_MORE(at != std::string::npos, "there is no " + from);
    return text.replace(at, from.size(), to);
}

void test_shipped(const std::string& folder) {
    for (const char* name : {"em", "hadron", "muon"}) {
        const OnnxFile file = read_onnx(read_file(folder + "/" + name + ".onnx"), name);
        CHECK(file.check_digest(name, true));
        const Contract c = read_contract(file.find(METADATA_KEY), name);
        CHECK(c.name == name);
        CHECK(c.whole());
        CHECK(c.window("ECAL").layers == 25);
        CHECK(c.energy_ok(c.kinetic_energy[0]) && !c.energy_ok(c.kinetic_energy[1] * 1.01));
    }
}

struct Change {
    const char *clause, *from, *to;
};

// one clause after the other is made senseless; Python's tests refuse the same
void test_clauses(const std::string& contract) {
    const Change changes[] = {
        {"name", R"("name": "windows", "noise")", R"("name": 3, "noise")"},
        {"name", R"("name": "windows", "noise")", R"("noise")"},
        {"species", R"("species": [11, -11, 22])", R"("species": [])"},
        {"species", R"("species": [11, -11, 22])", R"("species": [11.5])"},
        {"species", R"("species": [11, -11, 22])", R"("species": 11)"},
        {"species", R"("species": [11, -11, 22])", R"("species": [1099511627776])"},
        {"kinetic_energy", "[0.1, 100.0]", "[1.0]"},
        {"kinetic_energy", "[0.1, 100.0]", "[10.0, 1.0]"},
        {"kinetic_energy", "[0.1, 100.0]", R"("all")"},
        {"kinetic_energy", "[0.1, 100.0]", "[0.0, 1.0]"},
        {"max_angle", R"("max_angle": 0.97)", R"("max_angle": 1.97)"},
        {"max_angle", R"("max_angle": 0.97)", R"("max_angle": -0.97)"},
        {"sections", R"("sections": ["ECAL"], "sparse")", R"("sections": [], "sparse")"},
        {"sections", R"("sections": ["ECAL"], "sparse")", R"("sections": ["ECAL", "ECAL"], "sparse")"},
        {"sections", R"("sections": ["ECAL"], "sparse")", R"("sections": ["TRACKER"], "sparse")"},
        {"stack", R"("stack": {"sections": [)", R"("stack": {"section": [)"},
        {"stack", R"("window": [25, 25])", R"("window": [0, 25])"},
        {"stack_hash", R"("stack_hash": "0)", R"("stack_hash": "1)"},
        {"stack_hash", R"("cell_mm": 5.1)", R"("cell_mm": 5.2)"},
        {"noise", R"("shape": [25, 2])", R"("shape": [-25, 2])"},
        {"noise", R"("shape": [25, 2])", R"("shape": ["Q", 2])"},
        {"noise", R"("shape": [25, 2])", R"("shape": ["P", 2])"},
        {"noise", R"("distribution": "uniform")", R"("distribution": "poisson")"},
        {"noise", "[34.0, 361.0, 0.6]", "[34.0, 361.0]"},
        {"noise", "[34.0, 361.0, 0.6]", "[-34.0, 361.0, 0.6]"},
        {"noise", R"("name": "layer_uniform")", R"("name": "layer_normal")"},
        {"thresholds", R"("thresholds": {"ECAL": 2e-05})", R"("thresholds": [])"},
        {"sections", R"("thresholds": {"ECAL": 2e-05})", R"("thresholds": {})"},
        {"sparse", R"("sparse": true)", R"("sparse": "yes")"},
        {"units", "GeV, mm, rad", "MeV, cm, degrees"},
        {"format", R"("format": 2)", R"("format": 4)"},
        {"format", R"("format": 2)", R"("format": 2.0)"},
        {"format", R"("format": 2)", R"("format": true)"},
        {"surprise", R"("format": 2)", R"("format": 2, "surprise": 1)"},
    };
    for (const Change& change : changes) {
        const std::string wrong = replaced(contract, change.from, change.to);
        CHECK_THROWS(read_contract(&wrong, "here"), std::string("here: clause '") + change.clause);
    }
    // those of windows that were shipped
    const std::string old = replaced(contract, R"("name": "windows")", R"("name": "em")");
    CHECK_THROWS(read_contract(&old, "here"), "here: is a model 'em' that fastcalo shipped before");
    CHECK_THROWS(read_contract(nullptr, "here"), "holds no contract");
    for (const std::string& wrong : {std::string("{"), std::string("[]"), std::string("{}"), contract + "}"})
        CHECK_THROWS(read_contract(&wrong, "here"), "the contract is not readable");
}

void test_damage(const std::string& image) {
    for (const std::size_t at : {std::size_t{1000}, image.size() / 2, image.size() - 3000}) {
        std::string damaged = image;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        try {
            (void)read_onnx(damaged, "here").check_digest("here", true);
            CHECK(false);
        } catch (const std::exception& error) {
            CHECK(std::string(error.what()).find("here") == 0);
        }
    }
    for (const std::size_t size : {std::size_t{1}, std::size_t{100}, image.size() / 2, image.size() - 1})
        CHECK_THROWS(read_onnx(image.substr(0, size), "here").check_digest("here", true), "here");
    CHECK_THROWS(read_onnx("", "here").check_digest("here", true), "is missing");
    CHECK_THROWS(read_onnx("no model at all", "here"), "is not an ONNX model");
    CHECK_THROWS(read_file("/no/such/file"), "cannot be opened");
    CHECK_THROWS(read_file("/"), "/");
}

}  // namespace

int main(int, char** argv) {
    const std::string folder = argv[1], windowed = argv[2];
    test_shipped(folder);
    test_damage(read_file(folder + "/em.onnx"));
    if (std::ifstream(windowed).good()) {
        const OnnxFile file = read_onnx(read_file(windowed), windowed);
        CHECK(!read_contract(file.find(METADATA_KEY), windowed).whole());
        test_clauses(*file.find(METADATA_KEY));
    }
    return CHECK_RESULT();
}
