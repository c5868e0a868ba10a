// SPDX-License-Identifier: BSD-3-Clause
// Grouping of the nodes of a block into units that run as one instruction each.
#pragma once

#include <vector>

#include "graph/build/ir.hpp"

namespace fastcalo::graph {

// Values that a node reads, those that its bodies read from outside included.
std::vector<int> reads_of(const Ir& ir, const Node& n);

// Join a product of matrices with the SiLU that alone reads it: the node is marked by Params::mode 1.
void join_products(Ir& ir);

// Join the filling of an array, a scatter into it, and the one reader that takes elements at the same places.
void join_scatters(Ir& ir);

// Elements of all lines of a matrix at the same places, which a graph repeats for each line: gather and scatter by one
// vector.
void join_lines(Ir& ir);

// Groups of nodes (by their numbers in the block), in an order in which they can run.
std::vector<std::vector<int>> group_nodes(const Ir& ir, int block);

}  // namespace fastcalo::graph
