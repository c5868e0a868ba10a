// SPDX-License-Identifier: BSD-3-Clause
// Random numbers: published answers, and the digest of events that docs/models/models.md gives as examples.
#include <cmath>
#include <vector>

#include "../check.hpp"
#include "graph/kernels/kernels.hpp"
#include "model/noise.hpp"
#include "support/errors.hpp"
#include "support/random_numbers.hpp"

using namespace fastcalo::core;
namespace graph = fastcalo::graph;

namespace {

// from the known-answer tests of Random123, the authors' own implementation
void test_philox() {
    constexpr std::uint32_t ones = 0xFFFFFFFF;
    CHECK((philox({0, 0, 0, 0}, 0, 0) == Block{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
    CHECK((philox({ones, ones, ones, ones}, ones, ones) == Block{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
    CHECK((philox({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, 0xA4093822, 0x299F31D0) ==
           Block{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

void test_digests() {
    CHECK(mix(0) == 0xE220A8397B1DCDAFu);
    CHECK(event_digest(7, 0, 42, 0) == 0x6EAB8625DF268FBCu);
    CHECK(event_digest(7, 3, 42, 0) == 0x4F1091D3CBB321DCu);
}

void test_tables() {
    CHECK(normal_table().size() == 65536 && logistic_table().size() == 65536);
    CHECK(uniform(0) > 0 && uniform(0xFFFFFFFF) < 1);
    for (std::size_t k = 0; k < 65536; ++k) CHECK(normal_table()[k] == -normal_table()[65535 - k]);
    CHECK(std::fabs(normal_quantile(0.975) - 1.959963984540054) < 1e-15);
    CHECK(std::fabs(normal_quantile(1e-10) + 6.361340902404056) < 1e-14);
}

// what the vectors of this processor make is what one block after the other gives
void test_halves() {
    const Stream stream{0x123456789ABCDEF0u, 0x0FEDCBA987654321u, 77};
    constexpr std::size_t blocks = 100;
    std::vector<float> middles(8 * blocks), values(8 * blocks);
    const graph::RandomBlocks all{stream.seed, stream.digest, stream.particle, 5};
    graph::kernels().random_halves(all, blocks, nullptr, middles.data());
    graph::kernels().random_halves(all, blocks, normal_table().data(), values.data());
    for (std::size_t k = 0; k < 8 * blocks; ++k) {
        const std::uint32_t word = stream.block(static_cast<std::uint32_t>(5 + k / 8))[k / 2 % 4];
        const std::uint32_t half = k % 2 == 0 ? word & 0xFFFF : word >> 16;
        CHECK(middles[k] == (static_cast<float>(half) + 0.5f) * 0x1p-16f);
        CHECK(values[k] == normal_table()[half]);
    }
}

// rows beyond a shower's capacity are zero, and nothing depends on how many there are
void test_rows() {
    NoiseSpec spec;
    spec.name = "points";
    spec.shape = {-1, 3};
    spec.distribution = Distribution::normal;
    spec.capacity = std::array<double, 3>{2.0, 3.0, 0.5};
    const float energy[2] = {1.0f, 9.0f};  // 6 and 12 rows
    CHECK(spec.rows(1.0f) == 6 && spec.rows(9.0f) == 12 && rows_needed(spec, energy, 2) == 12);
    const Stream streams[2] = {{1, 2, 3}, {1, 2, 4}};
    std::vector<float> few(2 * 12 * 3), many(2 * 20 * 3, 7.0f);
    draw(spec, 1, streams, energy, 2, 12, few.data());
    draw(spec, 1, streams, energy, 2, 20, many.data());
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t k = 0; k < 20 * 3; ++k) {
            const float got = many[i * 60 + k];
            if (k < 36) CHECK(got == few[i * 36 + k]);
            if (k >= 40 || (i == 0 && k >= 24)) CHECK(got == 0.0f);
            if (k < (i == 0 ? 18u : 36u)) CHECK(got != 0.0f);
        }
    spec.capacity = std::array<double, 3>{1e12, 0.0, 0.0};
    CHECK(spec.rows(1.0f) == std::int64_t{1} << 31);
    CHECK_THROWS(draw(spec, 1, streams, energy, 1, 1, few.data()), "more random numbers than a particle has");
}

}  // namespace

int main() {
    test_philox();
    test_digests();
    test_tables();
    test_halves();
    test_rows();
    return CHECK_RESULT();
}
