#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A training by all cores of one machine, begun or gone on with: train.sh CONFIG.toml RUN RANKS
set -eu

config=${1:?which training? train.sh CONFIG.toml RUN RANKS}
run=${2:?which folder for the run? train.sh CONFIG.toml RUN RANKS}
ranks=${3:?how many processes? train.sh CONFIG.toml RUN RANKS}

export OMP_NUM_THREADS=1
resume=()
[[ -e $run/config.json ]] && resume=(--resume)
# in the place of this shell, so that signals reach mpiexec, which hands SIGUSR1 on to the ranks
exec mpiexec -n "$ranks" fastcalo train "$config" -o "$run" --threads 1 "${resume[@]}"
