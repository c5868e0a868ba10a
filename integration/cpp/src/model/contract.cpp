// SPDX-License-Identifier: BSD-3-Clause
#include "model/contract.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>

#include "model/onnx_file.hpp"
#include "support/constants.hpp"
#include "support/errors.hpp"
#include "support/sha256.hpp"

namespace fastcalo::core {
namespace {

constexpr std::int64_t TOO_LARGE = std::int64_t{1} << 31;
constexpr std::int64_t MOST_ROWS = std::int64_t{1} << 31;  // more than any stream of random numbers holds

// A place in the contract, for messages: the file, and the path of a clause.
struct Place {
    std::string where, clause;

    [[nodiscard]] Place at(std::string_view key) const {
        return {where, clause.empty() ? std::string(key) : clause + "." + std::string(key)};
    }
    [[nodiscard]] Place at(std::size_t index) const { return {where, clause + "[" + std::to_string(index) + "]"}; }
    [[noreturn]] void refuse(const std::string& problem) const {
        fail(Code::contract, where + ": clause '" + clause + "': " + problem);
    }
    [[noreturn]] void refuse(const std::string& should, const Json& value) const {
        refuse("must be " + should + ", but is " + shown(value));
    }
};

const Json& member(const Json& table, const char* key, const Place& place) {
    const Json* value = table.find(key);
    if (value == nullptr) place.at(key).refuse("missing");
    return *value;
}

const std::string& as_text(const Json& value, const Place& place) {
    if (!value.is(Json::Kind::string)) place.refuse("a text", value);
    return value.string();
}

double as_number(const Json& value, const Place& place) {
    if (!value.is_number()) place.refuse("a finite number", value);
    return value.number();
}

const std::vector<Json>& as_list(const Json& value, const Place& place, std::size_t least = 0) {
    if (!value.is(Json::Kind::array)) place.refuse("a list", value);
    if (value.items().size() < least) place.refuse("must hold at least 1 value, but is " + shown(value));
    return value.items();
}

const Json& as_table(const Json& value, const Place& place) {
    if (!value.is(Json::Kind::object)) place.refuse("a table", value);
    return value;
}

bool is_size(const Json& value) {
    return value.is(Json::Kind::integer) && value.integer() >= 1 && value.integer() < TOO_LARGE;
}

void known_keys(const Json& table, const std::set<std::string_view>& known, const Place& place) {
    for (const auto& entry : table.members())
        if (known.count(entry.first) == 0) place.at(entry.first).refuse("unknown key");
}

std::map<std::string, double> numbers_by_name(const Json& value, const Place& place) {
    std::map<std::string, double> out;
    for (const auto& [name, number] : as_table(value, place).members()) out[name] = as_number(number, place.at(name));
    return out;
}

std::vector<std::int64_t> shape_of(const Json& value, const Place& place) {
    std::vector<std::int64_t> out;
    for (const Json& size : as_list(value, place)) {
        const bool free = size.is(Json::Kind::string) && size.string() == "P";
        if (!free && !is_size(size)) place.refuse("must hold whole numbers above 0, or 'P', but is " + shown(value));
        out.push_back(free ? -1 : size.integer());
    }
    return out;
}

NoiseSpec noise_of(const Json& table, const Place& place) {
    known_keys(as_table(table, place), {"name", "shape", "distribution", "capacity"}, place);
    NoiseSpec out;
    out.name = as_text(member(table, "name", place), place.at("name"));
    if (out.name.empty()) place.at("name").refuse("must be a text that is not empty");
    out.shape = shape_of(member(table, "shape", place), place.at("shape"));
    const Json& distribution = member(table, "distribution", place);
    const std::string kind = distribution.is(Json::Kind::string) ? distribution.string() : "";
    if (kind == "uniform")
        out.distribution = Distribution::uniform;
    else if (kind == "normal")
        out.distribution = Distribution::normal;
    else if (kind == "logistic")
        out.distribution = Distribution::logistic;
    else
        place.at("distribution").refuse("one of 'uniform', 'normal', 'logistic'", distribution);
    if (const Json* capacity = table.find("capacity"); capacity != nullptr && !capacity->is(Json::Kind::null)) {
        const Place here = place.at("capacity");
        if (as_list(*capacity, here).size() != 3) here.refuse("must hold 3 values, but is " + shown(*capacity));
        std::array<double, 3> numbers{};
        for (std::size_t k = 0; k < 3; ++k) {
            numbers[k] = as_number(capacity->items()[k], here.at(k));
            if (!(numbers[k] >= 0 && numbers[k] <= 1e12)) here.at(k).refuse("between 0 and 1e12", capacity->items()[k]);
        }
        out.capacity = numbers;
    }
    const bool free = std::count(out.shape.begin(), out.shape.end(), -1) > 0;
    if (!out.capacity && free) place.at("shape").refuse("'" + out.name + "' has a length P, and no capacity");
    if (out.capacity && !(out.shape.size() == 2 && out.shape[0] == -1 && out.shape[1] != -1))
        place.at("shape").refuse("'" + out.name + "' has a capacity, and then must have a shape like ['P', 3]");
    std::size_t width = 1;
    for (const std::int64_t length : out.shape) {
        if (length == -1) continue;
        width *= static_cast<std::size_t>(length);
        // 2^26 numbers of a shower are what is set aside for a tensor in the stream of random numbers
        if (width > (std::size_t{1} << 26)) place.at("shape").refuse("'" + out.name + "' holds too many numbers");
    }
    return out;
}

void check_stack(const Json& stack, const Place& place) {
    const Place sections = place.at("sections");
    const auto& list = as_list(member(as_table(stack, place), "sections", place), sections);
    for (std::size_t k = 0; k < list.size(); ++k) {
        const Place here = sections.at(k);
        const Json& section = as_table(list[k], here);
        (void)as_text(member(section, "name", here), here.at("name"));
        const Json& window = member(section, "window", here);
        const auto& sides = as_list(window, here.at("window"));
        if (sides.size() != 2 || !is_size(sides[0]) || !is_size(sides[1]))
            here.at("window").refuse("two whole numbers above 0", window);
        const Place layers = here.at("absorber_mm");
        const auto& absorbers = as_list(member(section, "absorber_mm", here), layers, 1);
        for (std::size_t i = 0; i < absorbers.size(); ++i) (void)as_number(absorbers[i], layers.at(i));
    }
}

void read_domain(const Json& table, const Place& place, Contract& c) {
    const Place species = place.at("species"), energy = place.at("kinetic_energy"), angle = place.at("max_angle");
    const auto& codes = as_list(member(table, "species", place), species, 1);
    for (std::size_t k = 0; k < codes.size(); ++k) {
        if (!codes[k].is(Json::Kind::integer) || codes[k].integer() <= -TOO_LARGE || codes[k].integer() >= TOO_LARGE)
            species.at(k).refuse("a PDG code", codes[k]);
        c.species.push_back(static_cast<std::int32_t>(codes[k].integer()));
    }
    const Json& ends = member(table, "kinetic_energy", place);
    if (as_list(ends, energy).size() != 2) energy.refuse("must hold 2 values, but is " + shown(ends));
    for (std::size_t k = 0; k < 2; ++k) c.kinetic_energy[k] = as_number(ends.items()[k], energy.at(k));
    if (!(0 < c.kinetic_energy[0] && c.kinetic_energy[0] < c.kinetic_energy[1]))
        energy.refuse("[low, high] with 0 < low < high", ends);
    c.max_angle = as_number(member(table, "max_angle", place), angle);
    if (!(c.max_angle > 0 && c.max_angle < PI / 2)) angle.refuse("between 0 and pi/2", *table.find("max_angle"));
}

void read_sections(const Json& table, const Place& place, Contract& c) {
    const Place sections = place.at("sections");
    const auto& names = as_list(member(table, "sections", place), sections, 1);
    for (std::size_t k = 0; k < names.size(); ++k) {
        const std::string& name = as_text(names[k], sections.at(k));
        if (std::count(c.sections.begin(), c.sections.end(), name) > 0) sections.refuse("must hold each name once");
        c.sections.push_back(name);
    }
    c.stack = member(table, "stack", place);
    check_stack(c.stack, place.at("stack"));
    c.stack_hash = as_text(member(table, "stack_hash", place), place.at("stack_hash"));
    c.thresholds = numbers_by_name(member(table, "thresholds", place), place.at("thresholds"));
    if (sha256(c.stack.canonical()) != c.stack_hash) place.at("stack_hash").refuse("does not belong to clause 'stack'");
    std::set<std::string> described;
    for (const Json& section : c.stack.find("sections")->items()) described.insert(section.find("name")->string());
    for (const std::string& name : c.sections)
        if (described.count(name) == 0 || c.thresholds.count(name) == 0)
            sections.refuse("'" + name + "' is not described by clause 'stack' and clause 'thresholds'");
}

void read_noise(const Json& table, const Place& place, Contract& c) {
    const Place noise = place.at("noise");
    const auto& tensors = as_list(member(table, "noise", place), noise);
    std::set<std::string> names;
    for (std::size_t k = 0; k < tensors.size(); ++k) {
        c.noise.push_back(noise_of(tensors[k], noise.at(k)));
        if (!names.insert(c.noise.back().name).second) noise.refuse("two tensors have one name");
    }
}

// Whether this is one of the models of windows that were shipped: known by name and data, as in Python.
bool withdrawn(const Contract& c) {
    return !c.whole() &&
           ((c.name == "em" && c.data_hash == "18702177a841964f06087a0bcfd118dae9c491df33a14c18362e628976a18bc0") ||
            (c.name == "hadron" && c.data_hash == "edfd42035ea84942e5e68e58b9a46ac65bfadc6c408594f447d287adef9bdaee"));
}

}  // namespace

std::size_t NoiseSpec::width() const noexcept {
    std::size_t n = 1;
    for (const std::int64_t length : shape)
        if (length != -1) n *= static_cast<std::size_t>(length);
    return n;
}

std::int64_t NoiseSpec::rows(float energy) const noexcept {
    if (!capacity) return 1;
    const auto [a, b, c] = *capacity;
    // one row more than the formula: the graph evaluates it in single precision
    const double rows = std::floor(a + b * std::pow(static_cast<double>(energy), c));
    return rows < MOST_ROWS ? static_cast<std::int64_t>(rows) + 1 : MOST_ROWS;
}

const Json& Contract::section_stack(std::string_view section) const {
    for (const Json& described : stack.find("sections")->items())
        if (described.find("name")->string() == section) return described;
    fail(Code::not_found, "model '" + name + "' describes no section '" + std::string(section) + "'");
}

Window Contract::window(std::string_view section) const {
    const Json& described = section_stack(section);
    const auto& sides = described.find("window")->items();
    return {sides[0].integer(), sides[1].integer(),
            static_cast<std::int64_t>(described.find("absorber_mm")->items().size())};
}

bool Contract::knows(std::int64_t pdg) const noexcept {
    return std::find(species.begin(), species.end(), pdg) != species.end();
}

bool Contract::energy_ok(double energy, double slack) const noexcept {
    return energy >= kinetic_energy[0] * (1 - slack) && energy <= kinetic_energy[1] * (1 + slack);
}

bool Contract::angle_ok(double cosine, double slack) const noexcept { return cosine >= std::cos(max_angle) - slack; }

Contract read_contract(const std::string* text, const std::string& where) {
    if (text == nullptr)
        fail(Code::contract, where + " holds no contract (metadata '" + std::string(METADATA_KEY) +
                                 "'): it was not made by `fastcalo export`");
    Json table;
    try {
        table = Json::parse(*text);
        if (!table.is(Json::Kind::object)) throw std::invalid_argument("no object");
        if (table.find("format") == nullptr) throw std::invalid_argument("no 'format'");
    } catch (const std::invalid_argument& error) {
        fail(Code::contract, where + ": the contract is not readable (" + error.what() + ")");
    }
    const Place place{where, ""};
    const Json& format = *table.find("format");
    if (!format.is(Json::Kind::integer) || format.integer() < 1 || format.integer() > 3)
        place.at("format").refuse(shown(format) + " is unknown here; this fastcalo reads 1, 2 and 3");
    known_keys(table,
               {"name", "arch", "species", "kinetic_energy", "max_angle", "sections", "stack", "stack_hash", "noise",
                "thresholds", "sparse", "data_hash", "code_version", "scores", "units", "format"},
               place);
    Contract c;
    c.text = *text;
    c.format = static_cast<int>(format.integer());
    c.name = as_text(member(table, "name", place), place.at("name"));
    c.arch = as_text(member(table, "arch", place), place.at("arch"));
    read_domain(table, place, c);
    read_noise(table, place, c);
    const Json& sparse = member(table, "sparse", place);
    if (!sparse.is(Json::Kind::boolean)) place.at("sparse").refuse("true or false", sparse);
    c.sparse = sparse.boolean();
    c.data_hash = as_text(member(table, "data_hash", place), place.at("data_hash"));
    c.code_version = as_text(member(table, "code_version", place), place.at("code_version"));
    if (const Json* scores = table.find("scores")) c.scores = numbers_by_name(*scores, place.at("scores"));
    if (const Json* units = table.find("units");
        units != nullptr && !(units->is(Json::Kind::string) && units->string() == "GeV, mm, rad"))
        place.at("units").refuse("'GeV, mm, rad'", *units);
    read_sections(table, place, c);
    if (withdrawn(c))
        fail(Code::contract,
             where + ": is a model '" + c.name +
                 "' that fastcalo shipped before, and no longer trusts: it drew windows of 25 x 25 cells "
                 "only, without the leakage, and placed showers in the HCAL up to 15 mm off; the model '" +
                 c.name + "' that is shipped now replaces it");
    return c;
}

}  // namespace fastcalo::core
