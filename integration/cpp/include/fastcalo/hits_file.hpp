// SPDX-License-Identifier: BSD-3-Clause
// Writes hits as lines of JSON, which `fastcalo compare` and `fastcalo.open_hits` read.
//
//     fastcalo::HitsFile file("hits.jsonl", detector);
//     file.write(event, hits);   // once an event
//     file.close();              // the last line states that the file is whole
//
// docs/hits/formats.md describes the lines.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "fastcalo/fastcalo.hpp"

namespace fastcalo {

class HitsFile {
  public:
    struct Cells {
        std::vector<std::uint64_t> cell_id;  // at most once each
        std::vector<float> energy;           // GeV
    };
    struct Identifiers {
        std::int64_t run = 0, event = 0;
    };
    using Counts = std::array<std::int64_t, FASTCALO_REASONS>;  // particles by reason

    HitsFile(const std::string& path, const Detector& detector) : path_(path), out_(path) {
        const fastcalo_detector_info info = detector.info();
        text_ = R"({"format":"fastcalo-hits","version":1,"detector":")" + std::string(info.name) + R"(","stack_hash":")" +
                info.stack_hash + R"(","sections":[)";
        for (std::size_t s = 0; s < info.n_sections; ++s) {
            sections_.emplace_back(detector.section(s).name);
            text_ += (s == 0 ? "\"" : ",\"") + sections_.back() + "\"";
        }
        text_ += "]}\n";
        flush();
    }

    void write(const Identifiers& known_as, const std::vector<Cells>& sections, const Counts& particles = {}) {
        if (sections.size() != sections_.size())
            throw Error(FASTCALO_INVALID_ARGUMENT, path_ + ": hits of " + std::to_string(sections.size()) +
                                                       " sections for a detector of " + std::to_string(sections_.size()));
        text_ = "{\"run\":" + std::to_string(known_as.run) + ",\"event\":" + std::to_string(known_as.event) +
                ",\"particles\":[";
        list(particles);
        text_ += ']';
        for (std::size_t s = 0; s < sections.size(); ++s) {
            text_ += ",\"" + sections_[s] + "\":{\"cell_id\":[";
            list(sections[s].cell_id);
            text_ += "],\"energy\":[";
            list(sections[s].energy);
            text_ += "]}";
        }
        text_ += "}\n";
        flush();
        ++events_;
    }

    // The hits of a call with this one event; those of one cell are taken to be summed.
    void write(const Event& event, const Hits& hits) {
        std::vector<Cells> sections(sections_.size());
        for (std::size_t s = 0; s < sections.size(); ++s) {
            const fastcalo_section_hits view = hits.view(s);
            sections[s].cell_id.assign(view.cell_id, view.cell_id + view.n);
            sections[s].energy.assign(view.energy, view.energy + view.n);
        }
        Counts particles{};
        for (const std::int8_t reason : hits.reasons()) ++particles.at(static_cast<std::size_t>(reason));
        write({event.run, event.event}, sections, particles);
    }

    // Without it readers refuse the file, for it may have been cut short.
    void close() {
        text_ = "{\"events\":" + std::to_string(events_) + "}\n";
        flush();
        out_.close();
        if (!out_) fail();
    }

  private:
    template <class Numbers>
    void list(const Numbers& numbers) {
        std::array<char, 32> digits{};
        bool first = true;
        for (const auto number : numbers) {
            if (!first) text_ += ',';
            first = false;
            // the shortest text that gives the same number again
            const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
            text_.append(digits.data(), end.ptr);
        }
    }
    void flush() {
        out_.write(text_.data(), static_cast<std::streamsize>(text_.size()));
        if (!out_) fail();
    }
    [[noreturn]] void fail() const { throw Error(FASTCALO_INVALID_ARGUMENT, path_ + ": cannot be written"); }

    std::string path_, text_;
    std::ofstream out_;
    std::vector<std::string> sections_;
    std::int64_t events_ = 0;
};

}  // namespace fastcalo
