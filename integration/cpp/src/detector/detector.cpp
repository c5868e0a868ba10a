// SPDX-License-Identifier: BSD-3-Clause
#include "detector/detector.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <stdexcept>

#include "support/constants.hpp"
#include "support/errors.hpp"
#include "support/sha256.hpp"

namespace fastcalo::core {
namespace {

constexpr double FARTHEST_MM = 1e6;
constexpr std::size_t MOST_LAYERS = 10'000;
constexpr std::array<const char*, 5> CELL_FIELDS = {"system", "module", "layer", "x", "y"};

// A table of the description, and its path for messages.
struct Table {
    const Json* json = nullptr;
    std::string where;

    [[noreturn]] void refuse(const std::string& key, const std::string& problem) const {
        fail(Code::detector, where + "." + key + ": " + problem);
    }
    [[nodiscard]] const Json& get(const std::string& key) const {
        const Json* value = json->find(key);
        if (value == nullptr) refuse(key, "missing");
        return *value;
    }
    [[nodiscard]] Table table(const std::string& key) const {
        const Json& value = get(key);
        if (!value.is(Json::Kind::object)) refuse(key, "must be a table, but is " + shown(value));
        return {&value, where + "." + key};
    }
    [[nodiscard]] const std::vector<Json>& list(const std::string& key) const {
        const Json& value = get(key);
        if (!value.is(Json::Kind::array) || value.items().empty())
            refuse(key, "must be a list that is not empty, but is " + shown(value));
        return value.items();
    }
    [[nodiscard]] const std::string& text(const std::string& key) const {
        const Json& value = get(key);
        if (!value.is(Json::Kind::string)) refuse(key, "must be a text, but is " + shown(value));
        return value.string();
    }
    // between two numbers, the first of which may be left out (open)
    [[nodiscard]] double number(const std::string& key, double low, double high, bool open = false) const {
        const Json& value = get(key);
        if (!value.is_number()) refuse(key, "must be a finite number, but is " + shown(value));
        const double x = value.number();
        if (!(open ? x > low : x >= low) || !(x <= high))
            refuse(key, "must be " + std::string(open ? "greater than " : "at least ") + core::text(low) +
                            " and at most " + core::text(high) + ", but is " + shown(value));
        return x;
    }
    [[nodiscard]] std::int64_t integer(const std::string& key, std::int64_t low, std::int64_t high) const {
        const Json& value = get(key);
        if (!value.is(Json::Kind::integer) || value.integer() < low || value.integer() > high)
            refuse(key, "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                            ", but is " + shown(value));
        return value.integer();
    }
    void known(std::initializer_list<std::string_view> keys) const {
        for (const auto& member : json->members())
            if (std::find(keys.begin(), keys.end(), member.first) == keys.end()) refuse(member.first, "unknown key");
    }
};

std::vector<std::string> split(const std::string& text, char by) {
    std::vector<std::string> out{""};
    for (const char c : text) {
        if (c == by)
            out.emplace_back();
        else if (c != ' ')
            out.back() += c;
    }
    return out;
}

int whole_number(const std::string& token) {
    int value = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (token.empty() || error != std::errc() || end != token.data() + token.size())
        throw std::invalid_argument("'" + token + "' is no whole number");
    return value;
}

// ``name:width``, placed behind the field before, or ``name:offset:width``; a minus sign stands for a signed field
BitField parse_field(const std::string& text, int start) {
    const std::vector<std::string> parts = split(text, ':');
    if ((parts.size() != 2 && parts.size() != 3) || parts[0].empty())
        throw std::invalid_argument("'" + text + "' is neither name:width nor name:offset:width");
    const int width = whole_number(parts.back());
    BitField field{parts[0], parts.size() == 3 ? whole_number(parts[1]) : start, width, width < 0};
    if (width < -63 || width > 63 || width == 0)
        throw std::invalid_argument("'" + field.name + "' must have 1 to 63 bits");
    field.width = width < 0 ? -width : width;
    if (field.offset < 0 || field.offset > 64 - field.width)
        throw std::invalid_argument("'" + field.name + "' takes bits beyond the 64 there are");
    return field;
}

std::array<BitField, 5> parse_encoding(const std::string& text) {
    std::array<BitField, 5> out;
    std::array<bool, 5> found{};
    std::uint64_t taken = 0;
    int start = 0;
    for (const std::string& part : split(text, ',')) {
        BitField field = parse_field(part, start);
        const auto at = std::find(CELL_FIELDS.begin(), CELL_FIELDS.end(), field.name);
        if (at == CELL_FIELDS.end())
            throw std::invalid_argument("must have the fields system, module, layer, x and y, but has '" + field.name +
                                        "'");
        const auto k = static_cast<std::size_t>(at - CELL_FIELDS.begin());
        if (found[k]) throw std::invalid_argument("'" + field.name + "' comes twice");
        const std::uint64_t bits = field.mask() << field.offset;
        if ((taken & bits) != 0) throw std::invalid_argument("'" + field.name + "' takes bits that another field has");
        taken |= bits;
        start = field.offset + field.width;
        found[k] = true;
        out[k] = field;
    }
    for (std::size_t k = 0; k < 5; ++k)
        if (!found[k]) throw std::invalid_argument(std::string("lacks the field '") + CELL_FIELDS[k] + "'");
    if (!out[3].is_signed || !out[4].is_signed)
        throw std::invalid_argument("x and y count from the middle of a module: write their widths with a minus sign");
    return out;
}

void read_layers(const Table& table, Section& section) {
    const auto& runs = table.list("layers");
    for (std::size_t k = 0; k < runs.size(); ++k) {
        if (!runs[k].is(Json::Kind::object)) table.refuse("layers", "must hold tables, but is " + shown(runs[k]));
        const Table run{&runs[k], table.where + ".layers[" + std::to_string(k) + "]"};
        run.known({"count", "absorber_mm"});
        const auto count = static_cast<std::size_t>(run.integer("count", 1, MOST_LAYERS));
        section.absorber_mm.insert(section.absorber_mm.end(), count, run.number("absorber_mm", 0, FARTHEST_MM, true));
        if (section.absorber_mm.size() > MOST_LAYERS) table.refuse("layers", "must be at most 10000 layers together");
    }
    double absorbers = 0;
    for (std::size_t k = 0; k < section.absorber_mm.size(); ++k) {
        absorbers += section.absorber_mm[k];
        section.sensor_z.push_back(section.front_mm + absorbers +
                                   static_cast<double>(k) * (section.sensor_mm + section.gap_mm) +
                                   section.sensor_mm / 2);
    }
}

// What is hashed, so that a model is used with the layers that it was trained for; numbers with their Python types.
Json stack_of(const Section& s, const Table& table, std::int64_t window_x, std::int64_t window_y) {
    Json out = Json::object();
    out.set("name", Json::of(s.name));
    for (const char* key : {"absorber", "sensor", "gap"}) out.set(key, Json::of(table.text(key)));
    out.set("sensor_mm", Json::of(s.sensor_mm));
    out.set("gap_mm", Json::of(s.gap_mm));
    out.set("cell_mm", Json::of(s.cell_mm));
    out.set("front_mm", Json::of(s.front_mm));
    Json absorbers = Json::array();
    for (const double mm : s.absorber_mm) absorbers.push(Json::of(mm));
    out.set("absorber_mm", absorbers);
    out.set("window", Json::array({Json::of(window_x), Json::of(window_y)}));
    out.set("threshold_gev", Json::of(s.threshold));
    return out;
}

Section read_section(const std::string& name, const Table& table) {
    table.known({"front_mm", "absorber", "sensor", "gap", "layers", "sensor_mm", "gap_mm", "cell_mm", "window",
                 "threshold_gev", "system", "encoding"});
    Section s;
    s.name = name;
    s.front_mm = table.number("front_mm", 0, FARTHEST_MM);
    s.sensor_mm = table.number("sensor_mm", 0, FARTHEST_MM, true);
    s.gap_mm = table.number("gap_mm", 0, FARTHEST_MM);
    s.cell_mm = table.number("cell_mm", 0, FARTHEST_MM, true);
    s.threshold = table.number("threshold_gev", 0, 1e6);
    s.system = table.integer("system", 0, INT64_MAX);
    const auto& window = table.list("window");
    for (const Json& side : window)
        if (!side.is(Json::Kind::integer) || side.integer() < 1 || side.integer() > 9'999 || side.integer() % 2 == 0)
            table.refuse("window", "must hold odd whole numbers from 1 to 9999");
    if (window.size() != 2) table.refuse("window", "must hold 2 values");
    read_layers(table, s);
    try {
        s.fields = parse_encoding(table.text("encoding"));
    } catch (const std::invalid_argument& error) {
        table.refuse("encoding", error.what());
    }
    s.stack = stack_of(s, table, window[0].integer(), window[1].integer());
    return s;
}

void read_substitutes(const Table& table, Detector& d) {
    for (const auto& [key, value] : table.json->members()) {
        const Table entry = table.table(key);
        entry.known({"pdg", "add_gev"});
        Substitute row;
        try {
            row.species = whole_number(key);
        } catch (const std::invalid_argument&) {
            table.refuse(key, "must be a PDG code, such as 321");
        }
        row.pdg = static_cast<std::int32_t>(entry.integer("pdg", -INT32_MAX, INT32_MAX));
        row.add_gev = value.find("add_gev") == nullptr ? 0 : entry.number("add_gev", 0, 1e6);
        d.substitutes.push_back(row);
    }
    for (const Substitute& row : d.substitutes)
        for (const Substitute& other : d.substitutes)
            if (row.pdg == other.species)
                table.refuse(std::to_string(row.species), "its substitute has a substitute itself");
}

// Refuses sections that overlap, leave the face bare, or have cell IDs too small for the modules.
void check_together(const Detector& d, const std::string& where) {
    const double half_width = d.barrel_radius_mm * std::tan(TWO_PI / 2 / static_cast<double>(d.staves));
    const double reach = std::max({d.half_length_mm, half_width, d.endcap_outer_mm});
    double back = 0;
    for (const Section& s : d.sections) {
        const Table here{nullptr, where + ".section." + s.name};
        if (&s == &d.sections.front() && s.front_mm != 0)
            here.refuse("front_mm", "the first section begins at the face, at 0");
        if (s.front_mm < back - 1e-6) here.refuse("front_mm", "the section before it ends at " + text(back));
        back = s.sensor_z.back() + s.sensor_mm / 2 + s.gap_mm;
        const auto& window = s.stack.find("window")->items();
        const auto cells = static_cast<std::int64_t>(std::min(reach / s.cell_mm, 1e18)) + 1 +
                           std::max(window[0].integer(), window[1].integer());
        const std::array<std::int64_t, 5> largest = {s.system, d.staves + 1, s.layers() - 1, cells, cells};
        for (std::size_t k = 0; k < 5; ++k)
            if (largest[k] > s.fields[k].highest())
                here.refuse("encoding", "'" + s.fields[k].name + "' holds " + std::to_string(s.fields[k].highest()) +
                                            " at most, but " + std::to_string(largest[k]) +
                                            " is needed: give it more bits");
    }
}

}  // namespace

std::uint64_t BitField::pack(std::int64_t value) const {
    if (value < lowest() || value > highest())
        fail(Code::invalid_argument, "cell ID field '" + name + "' holds " + std::to_string(lowest()) + " to " +
                                         std::to_string(highest()) + ", but got " + std::to_string(value));
    return (static_cast<std::uint64_t>(value) & mask()) << offset;
}

std::int64_t BitField::unpack(std::uint64_t cell_id) const noexcept {
    const std::uint64_t raw = cell_id >> offset & mask();
    if (!is_signed) return static_cast<std::int64_t>(raw);
    const std::uint64_t sign = std::uint64_t{1} << (width - 1);
    return static_cast<std::int64_t>((raw ^ sign) - sign);
}

std::uint64_t Section::encode(const Cell& cell) const {
    return fields[0].pack(system) | fields[1].pack(cell.module) | fields[2].pack(cell.layer) | fields[3].pack(cell.x) |
           fields[4].pack(cell.y);
}

Cell Section::decode(std::uint64_t id) const {
    if (fields[0].unpack(id) != system)
        fail(Code::invalid_argument, "a cell ID of system " + std::to_string(fields[0].unpack(id)) + " is not one of " +
                                         name + ", which is system " + std::to_string(system));
    return {fields[1].unpack(id), fields[2].unpack(id), fields[3].unpack(id), fields[4].unpack(id)};
}

Detector Detector::from_json(std::string_view text, const std::string& where) {
    Json json;
    try {
        json = Json::parse(text);
    } catch (const std::invalid_argument& error) {
        fail(Code::detector, where + ": the description is not readable (" + error.what() + ")");
    }
    if (!json.is(Json::Kind::object)) fail(Code::detector, where + ": the description must be a table");
    const Table file{&json, where};
    file.known({"name", "solenoid", "barrel", "endcap", "section", "geant4", "substitutes"});
    Detector d;
    d.name = file.text("name");
    d.field_tesla = file.table("solenoid").number("field_tesla", -1000, 1000);
    const Table barrel = file.table("barrel"), endcap = file.table("endcap"), sections = file.table("section");
    d.staves = barrel.integer("staves", 3, 10'000);
    d.barrel_radius_mm = barrel.number("inner_radius_mm", 0, FARTHEST_MM, true);
    d.half_length_mm = barrel.number("half_length_mm", 0, FARTHEST_MM, true);
    d.endcap_front_mm = endcap.number("front_mm", d.half_length_mm, FARTHEST_MM);
    d.endcap_inner_mm = endcap.number("inner_radius_mm", 0, FARTHEST_MM);
    d.endcap_outer_mm = endcap.number("outer_radius_mm", d.endcap_inner_mm, FARTHEST_MM, true);
    if (sections.json->members().empty()) file.refuse("section", "must hold at least one section");
    for (const auto& member : sections.json->members())
        d.sections.push_back(read_section(member.first, sections.table(member.first)));
    std::stable_sort(d.sections.begin(), d.sections.end(),
                     [](const Section& a, const Section& b) { return a.front_mm < b.front_mm; });
    if (json.find("substitutes") != nullptr) read_substitutes(file.table("substitutes"), d);
    check_together(d, where);
    Json stack = Json::object(), list = Json::array();
    for (const Section& s : d.sections) list.push(s.stack);
    stack.set("sections", list);
    d.stack_hash = sha256(stack.canonical());
    d.make_frames();
    return d;
}

void Detector::make_frames() {
    for (std::int64_t k = 0; k < staves; ++k) {
        const double azimuth = TWO_PI / static_cast<double>(staves) * static_cast<double>(k);
        const double c = std::cos(azimuth), s = std::sin(azimuth);
        axes.push_back({Vector{-s, c, 0}, Vector{0, 0, 1}, Vector{c, s, 0}});
        origin.push_back({barrel_radius_mm * c, barrel_radius_mm * s, 0});
    }
    axes.push_back({Vector{1, 0, 0}, Vector{0, 1, 0}, Vector{0, 0, 1}});
    origin.push_back({0, 0, endcap_front_mm});
    axes.push_back({Vector{-1, 0, 0}, Vector{0, 1, 0}, Vector{0, 0, -1}});
    origin.push_back({0, 0, -endcap_front_mm});
}

std::size_t Detector::section_index(std::string_view wanted) const {
    for (std::size_t k = 0; k < sections.size(); ++k)
        if (sections[k].name == wanted) return k;
    fail(Code::not_found, "detector '" + name + "' has no section '" + std::string(wanted) + "'");
}

const Section& Detector::section(std::string_view wanted) const { return sections[section_index(wanted)]; }

Vector Detector::cell_centre(const Section& section, const Cell& cell) const {
    if (cell.module < 0 || cell.module >= static_cast<std::int64_t>(origin.size()))
        fail(Code::invalid_argument, "modules are numbered 0 to " + std::to_string(origin.size() - 1) + ", but got " +
                                         std::to_string(cell.module));
    if (cell.layer < 0 || cell.layer >= section.layers())
        fail(Code::invalid_argument, "layers of " + section.name + " are numbered 0 to " +
                                         std::to_string(section.layers() - 1) + ", but got " +
                                         std::to_string(cell.layer));
    return to_global(static_cast<std::size_t>(cell.module),
                     {static_cast<double>(cell.x) * section.cell_mm, static_cast<double>(cell.y) * section.cell_mm,
                      section.sensor_z[static_cast<std::size_t>(cell.layer)]});
}

Vector Detector::to_global(std::size_t m, const Vector& v) const noexcept {
    Vector out{};
    for (std::size_t i = 0; i < 3; ++i)
        out[i] = origin[m][i] + (v[0] * axes[m][0][i] + v[1] * axes[m][1][i] + v[2] * axes[m][2][i]);
    return out;
}

Vector Detector::to_local(std::size_t m, const Vector& v) const noexcept {
    return rotate_to_local(m, {v[0] - origin[m][0], v[1] - origin[m][1], v[2] - origin[m][2]});
}

Vector Detector::rotate_to_local(std::size_t m, const Vector& v) const noexcept {
    Vector out{};
    for (std::size_t j = 0; j < 3; ++j) out[j] = v[0] * axes[m][j][0] + v[1] * axes[m][j][1] + v[2] * axes[m][j][2];
    return out;
}

}  // namespace fastcalo::core
