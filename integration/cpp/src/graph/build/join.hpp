// SPDX-License-Identifier: BSD-3-Clause
// Nodes that are joined with their only reader, or skipped, before they are grouped.
#pragma once

#include "graph/build/ir.hpp"

namespace fastcalo::graph {

// Join a product of matrices with the SiLU that alone reads it: the node is marked by Params::mode 1.
void join_products(Ir& ir);

// Join the filling of an array, a scatter into it, and the one reader that takes elements at the same places.
void join_scatters(Ir& ir);

// Elements of all lines of a matrix at the same places, which a graph repeats for each line: gather and scatter by one
// vector.
void join_lines(Ir& ir);

// Let operators element by element and Concat read what a Reshape reads, where axes of length 1 or one axis for all
// make no difference to them.
//
// Of a Concat, Params::mode is then the number of axes of its result: an input that has one less is a row of it.
void skip_reshapes(Ir& ir);

}  // namespace fastcalo::graph
