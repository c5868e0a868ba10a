// SPDX-License-Identifier: BSD-3-Clause
// Grouping of the nodes of a block into units that run as one instruction each.
#pragma once

#include <vector>

#include "graph/build/ir.hpp"

namespace fastcalo::graph {

// Values that a node reads, those that its bodies read from outside included.
std::vector<int> reads_of(const Ir& ir, const Node& n);

// Groups of nodes (by their numbers in the block), in an order in which they can run.
std::vector<std::vector<int>> group_nodes(const Ir& ir, int block);

}  // namespace fastcalo::graph
