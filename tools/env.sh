# Sourced by quickstart.sh, run_tests.sh and .ci/run. Sets PYTHON to an interpreter that can import the whole stack and
# mlore_mm: the one of the active environment where that has the stack, else the one of .venv, which is made or brought
# up to date here. Needs Python 3.10 or newer (3.11 is what is tested) with venv and pip, and nothing else.
#
#   MLORE_MM_PYTHON  the Python to make .venv with
#   MLORE_MM_TORCH   the PyTorch requirement(s) to install, such as 'torch==2.13.0 torchvision==0.28.0'

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$REPO/.venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1
# Threads of OpenMP that wait for each other sleep instead of spinning. Where other processes (the loader's workers, say)
# want the same few cores, a training step was seen to take 3 to 10 times as long with spinning threads.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"

say() { printf '[mlore_mm %s] %s\n' "$(date +%H:%M:%S)" "$*"; }

die() {
    say "$*" >&2
    exit 1
}

has_modules() { # has_modules PYTHON MODULE...: every module is there; found, not imported, which would take seconds
    "$1" - "${@:2}" 2>/dev/null <<'PY'
import sys
from importlib.util import find_spec

sys.path = [path for path in sys.path if path]  # the working directory is no installation
sys.exit(not all(find_spec(name) for name in sys.argv[1:]))
PY
}

find_python() { # prints a Python that can make .venv
    local candidate
    for candidate in ${MLORE_MM_PYTHON:-python3.11 python3 python3.12 python3.10}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "no Python 3.10 or newer with the venv module was found; install python3.11 (on Debian also python3.11-venv)" \
        "or name one in MLORE_MM_PYTHON"
}

torch_requirements() { # prints what to install as PyTorch
    if [ -n "${MLORE_MM_TORCH:-}" ]; then
        echo "$MLORE_MM_TORCH"
    elif nvidia-smi >/dev/null 2>&1; then
        echo 'torch>=2.10 torchvision'
    else
        # A pair that is known to work on the CPU. torchvision is held to its partner: pip would otherwise take the
        # newest and replace torch to match.
        echo 'torch==2.13.0 torchvision==0.28.0'
    fi
}

stamp_of() { # stamp_of WORDS...: what .venv depends on, as a hash
    (cd "$REPO" && { echo "$@" && cat requirements/*.txt setup.py; } | cksum)
}

install_venv() {
    local torch stamp python start=$SECONDS
    torch="$(torch_requirements)"
    stamp="$(stamp_of "$torch")"
    PYTHON="$VENV/bin/python"
    if [ -x "$PYTHON" ] && [ "$(cat "$VENV/mlore_mm.stamp" 2>/dev/null)" = "$stamp" ]; then
        say "using $VENV"
        return
    fi
    if ! "$PYTHON" -c 'import pip' 2>/dev/null; then
        python="$(find_python)"
        say "making $VENV with $("$python" --version)"
        "$python" -m venv --clear "$VENV"
    fi
    say "1/4 installing PyTorch: $torch"
    # shellcheck disable=SC2086  # several requirements, one word each
    "$PYTHON" -m pip install $torch
    say '2/4 installing the OpenMMLab packages (OneDL releases)'
    # Seen together with what torch needs, so that pip cannot trade one against the other.
    # shellcheck disable=SC2086
    "$PYTHON" -m pip install $torch -r "$REPO/requirements/onedl.txt"
    say '3/4 installing what mlore_mm and its tests need'
    # shellcheck disable=SC2086
    "$PYTHON" -m pip install $torch \
        -r "$REPO/requirements/runtime.txt" -r "$REPO/requirements/optional.txt" -r "$REPO/requirements/encoders.txt" \
        -r "$REPO/requirements/tests.txt"
    # Four methods of gradient surgery; without their solvers they say so by name, and their tests are skipped.
    # shellcheck disable=SC2086
    "$PYTHON" -m pip install $torch -r "$REPO/requirements/surgery.txt" \
        || say 'the solvers of requirements/surgery.txt do not install here; going on without them'
    use_headless_opencv
    say '4/4 installing mlore_mm'
    "$PYTHON" -m pip install --no-deps --editable "$REPO"
    echo "$stamp" >"$VENV/mlore_mm.stamp"
    say "$VENV is ready after $((SECONDS - start)) s"
}

use_headless_opencv() { # opencv-python needs the system's libGL, which servers often lack
    if ! "$PYTHON" -c 'import cv2' 2>/dev/null; then
        say 'opencv-python does not load here; taking opencv-python-headless'
        "$PYTHON" -m pip uninstall -y opencv-python
        "$PYTHON" -m pip install opencv-python-headless
    fi
}

find_stack() { # prints the Python of the active environment, if it has the stack and is not .venv itself
    local candidate
    for candidate in python python3; do
        if has_modules "$candidate" torch mmengine mmcv mmseg \
            && [ "$("$candidate" -c 'import sys; print(sys.prefix)')" != "$VENV" ]; then
            command -v "$candidate"
            return
        fi
    done
}

complete_environment() { # adds what is missing to an environment with the stack, and changes nothing that is there
    say "using the packages of $PYTHON"
    if ! has_modules "$PYTHON" mlore_mm; then
        say 'installing mlore_mm there (editable, nothing else is changed)'
        "$PYTHON" -m pip install --no-deps --editable "$REPO"
    fi
    if ! has_modules "$PYTHON" scipy packaging PIL pytest pytest_cov xdist ruff skimage tensorboard; then
        say 'installing what the tests need there'
        "$PYTHON" -m pip install -r "$REPO/requirements/runtime.txt" -r "$REPO/requirements/tests.txt"
    fi
}

PYTHON="$(find_stack)"
if [ -n "$PYTHON" ]; then complete_environment; else install_venv; fi
# A clone's code goes before that of another clone that may be installed.
export PYTHON PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"
# A broken environment is named here, by the version check, and not in the middle of what follows.
"$PYTHON" -c 'import mlore_mm' || die 'mlore_mm cannot be imported, see above'
