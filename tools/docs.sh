#!/usr/bin/env bash
# bash tools/docs.sh [options of mkdocs build]
# Builds the documentation into site/. MkDocs goes into an environment of its own, .venv-docs: it needs neither PyTorch nor
# mlore_mm. Read it with `python -m http.server --directory site --bind 127.0.0.1`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! .venv-docs/bin/python -c 'import mkdocs, material' 2>/dev/null; then
    "${PYTHON:-python3}" -m venv .venv-docs
    .venv-docs/bin/python -m pip install -r requirements/docs.txt
fi
.venv-docs/bin/python docs/make_api.py docs/api.md
NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict "$@"
echo 'The site is in site/index.html'
