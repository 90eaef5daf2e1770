#!/usr/bin/env bash
# Measures on a machine with a GPU that may have no network, in one call of a quarter of an hour.
#
#   bash benchmarks/gpu_session.sh wheels         with network: collect what such machines lack, into .whl/
#   bash benchmarks/gpu_session.sh [FOLDER]       on the GPU: install from .whl/ where needed, measure, write to FOLDER
#   bash benchmarks/gpu_session.sh dry [FOLDER]   on any machine: the same steps on a tiny model, to see that they run
#
# FOLDER/table.md holds the tables: every system in fp32 and bf16, eager and compiled, training and inference, at batch
# 1, 2 and 4 (benchmarks/systems.py), and MLoRE against the literal form (benchmarks/run.py).
#
# The GPU machine brings PyTorch with CUDA, NumPy, OpenCV and the other scientific packages. mmcv comes without its
# compiled operators, which nothing here uses.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON="${PYTHON:-python3}"
WHEELS="${WHEELS:-.whl}"

if [ "${1:-}" = wheels ]; then
    mkdir -p "$WHEELS"
    # Built where torch is absent, onedl-mmcv is a wheel for any Python.
    "$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$WHEELS" \
        'onedl-mmengine>=0.10.10,<0.11' 'onedl-mmcv>=2.3.3,<2.4' 'onedl-mmsegmentation>=1.4.0,<1.5' \
        addict yapf platformdirs termcolor prettytable wcwidth ftfy
    ls -sh "$WHEELS"
    exit
fi

DRY=''
if [ "${1:-}" = dry ]; then
    DRY=1
    shift
fi
OUT="${1:-${OUT:-work_dirs/gpu}}"
mkdir -p "$OUT"
if ! "$PYTHON" -c 'import mlore_mm' 2>/dev/null && [ -d "$WHEELS" ]; then
    SITE="$(mktemp -d)"
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$SITE" "$WHEELS"/*.whl
    export PYTHONPATH="$SITE${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if [ -n "$DRY" ]; then
    "$PYTHON" benchmarks/systems.py --device cpu --out "$OUT/systems.md" --batch 1,2 --rounds 1 --modes eager \
        --configs "${DRY_CONFIGS:-mlore/mlore_tiny_synthrooms_nyud,pad_net/pad-net_tiny_synthrooms_nyud}"
    cp "$OUT/systems.md" "$OUT/table.md"
    echo "The table is in $OUT/table.md"
    exit
fi
"$PYTHON" -c 'import mlore_mm, torch; assert torch.cuda.is_available(); print(torch.__version__, torch.cuda.get_device_name())'

# The main table first, each run with an end of its own, so that what is done is kept.
measure() { # name, seconds, arguments
    local name="$1" limit="$2"
    shift 2
    timeout "$limit" "$PYTHON" benchmarks/run.py --device cuda --out "$OUT/$name.json" "$@" |
        tee "$OUT/$name.log" || echo "$name ended early"
}
measure vitl_pascal 240 --configs 'PASCAL ViT-L' --batch 1 --only equality,decoder,limit,model,train,model-train,memory
measure batch_2 100 --configs 'PASCAL ViT-L' --batch 2 --only decoder,train --rounds 10
measure others 130 --configs 'PASCAL ViT-B,PASCAL ViT-S,NYUD ViT-L' --batch 1 --only decoder,train --rounds 10
timeout 480 "$PYTHON" benchmarks/systems.py --device cuda --out "$OUT/systems.md" --seconds 420 || echo 'systems ended early'
{
    cat "$OUT/systems.md"
    for name in vitl_pascal batch_2 others; do
        printf '\n%s\n\n' "$name"
        cat "$OUT/$name.log"
    done
} > "$OUT/table.md" 2> /dev/null || true
echo "The table is in $OUT/table.md"
