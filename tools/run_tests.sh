#!/usr/bin/env bash
# bash tools/run_tests.sh [pytest options]
# Runs the tests, in .venv, which is made if needed. With options, for example: bash tools/run_tests.sh tests/test_tasks -x
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$REPO"
# One thread each for as many workers as there are cores: small tensors gain nothing from more.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# A file stays with one worker, so that what its tests share (a trained model, an export) is made once.
exec "$PYTHON" -m pytest -q --numprocesses "${MLORE_MM_TEST_WORKERS:-auto}" --dist loadfile --durations 10 "$@"
