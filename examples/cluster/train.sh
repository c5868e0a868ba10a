#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A training by all cores of one machine, begun or gone on with: train.sh CONFIG.toml RUN RANKS
set -u

config=${1:?which training? train.sh CONFIG.toml RUN RANKS}
run=${2:?which folder for the run? train.sh CONFIG.toml RUN RANKS}
ranks=${3:?how many processes? train.sh CONFIG.toml RUN RANKS}

export OMP_NUM_THREADS=1
resume=()
[[ -e $run/config.json ]] && resume=(--resume)
mpiexec -n "$ranks" fastcalo train "$config" -o "$run" --threads 1 "${resume[@]}" &
job=$!

# signals go to mpiexec, which hands them on to the ranks
stopped=0 signals=0
trap 'stopped=138; signals=$((signals + 1)); kill -USR1 "$job"' USR1
trap 'stopped=143; signals=$((signals + 1)); kill -TERM "$job"' TERM

# a signal ends a wait: the next one has the exit code
while :; do
  before=$signals code=0
  wait "$job" || code=$?
  [[ $signals == "$before" ]] && break
done

# ranks that were stopped have saved the training together; where one of them ends a moment before the others, mpiexec
# kills these, and ends with 9
[[ $stopped != 0 && $code == 9 ]] && code=$stopped
exit "$code"
