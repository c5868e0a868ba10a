#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# One of many jobs of a conversion, counted from 0, begun or gone on with: convert.sh INPUTS FOLDER JOB JOBS WORKERS
set -eu

inputs=${1:?which events? convert.sh INPUTS FOLDER JOB JOBS WORKERS}
folder=${2:?which folder for the hits? convert.sh INPUTS FOLDER JOB JOBS WORKERS}
mkdir -p "$folder"
exec fastcalo convert "$inputs" -o "$folder/hits.root" --events-per-file "${EVENTS_PER_FILE:-10000}" \
  --part "${3:?which job?}/${4:?of how many?}" --workers "${5:-1}" --threads 1 --seed 1 --resume
