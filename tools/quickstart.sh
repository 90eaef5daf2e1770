#!/usr/bin/env bash
# bash tools/quickstart.sh [--short]
# From nothing to a trained, tested and drawn multi-task MLoRE: makes .venv if needed, then runs tools/quickstart.py with
# the options given here.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$REPO"
exec "$PYTHON" tools/quickstart.py "$@"
