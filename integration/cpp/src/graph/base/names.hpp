// SPDX-License-Identifier: BSD-3-Clause
// Names of operators, for messages.
#pragma once

#include "graph/base/ops.hpp"

namespace fastcalo::graph {

const char* name_of(Op op);

}  // namespace fastcalo::graph
