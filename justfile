# Recipes of NovaPulse. `./run RECIPE` sets everything up first; inside an active environment plain `just RECIPE` will do.

set positional-arguments := true

_list:
    @just --list --unsorted

# From data to an honest backtest in one command (real bars where there are any, else a sample market)
[no-exit-message]
demo *arguments: kernels
    @novapulse demo "$@"

# Run the whole test suite, in random order, warnings as errors, a file to each processor; arguments go to pytest
[no-exit-message]
test *arguments: kernels
    @python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"

# Check style, security rules, formatting and types
[no-exit-message]
lint:
    @ruff check .
    @ruff format --check .
    @mypy novapulse

# Format the code and apply the safe fixes
[no-exit-message]
format:
    @ruff check --fix .
    @ruff format .

# Measure against the rivals: ratios of one run; arguments go to the benchmarks
[no-exit-message]
bench *arguments: kernels
    @python -m tests.benchmarks "$@"

# Let traders live 300 seeds of a virtual day with all faults, on two cores; --write keeps the figures in the docs
[no-exit-message]
campaign *arguments: kernels
    @python -m tests.simulation.campaigning --seeds 0:300 --days 1 --faults all --processes 2 "$@"

# Let one seed of 8 pairs and 3 accounts live 7 virtual days with faults, and show that nothing grows; --write as above
[no-exit-message]
soak *arguments: kernels
    @python -m tests.simulation.soaking "$@"

# Draw the pictures of the docs anew, from recorded bars: what the demo prints, and notebook and dashboards in Chromium
[no-exit-message]
picture: kernels
    @python docs/images/make_picture.py
    @python -m docs.images.make_notebook_picture
    @python -m docs.images.make_dashboard_pictures

# Open a notebook in the browser, on this machine only: backtest unless another is named; arguments go to marimo
[no-exit-message]
notebook *arguments: kernels
    #!/bin/sh
    set -eu
    name=backtest
    case "${1--}" in
    -*) ;;
    *)
        name=$1
        shift
        ;;
    esac
    if [ ! -f "notebooks/$name.py" ]; then
        echo "no notebook $name: there are $(ls notebooks | sed -n 's/\.py$//p' | paste -sd ' ' -)" >&2
        exit 2
    fi
    export MARIMO_SKIP_UPDATE_CHECK=1
    exec marimo run "notebooks/$name.py" --host 127.0.0.1 "$@"

# Measure the notebook in Chromium: first paint, slider to redraw
[no-exit-message]
bench-notebook: kernels
    @python -m tests.benchmarks.notebook

# Look at every dashboard and notebook in Chromium: both roles, desk and phone, light and dark; arguments go to pytest
[no-exit-message]
pages *arguments: kernels
    @PAGES=all python -m pytest -o faulthandler_timeout=0 tests/apps/test_pages.py tests/notebooks/test_workbench_pages.py "$@"

# Measure the dashboards in Chromium: pages, a commit to the screen, memory, the trader beside them; --write keeps it
[no-exit-message]
bench-dashboards *arguments: kernels
    @python -m tests.benchmarks.dashboards "$@"

# Edit the notebooks in the browser, on this machine only; arguments go to marimo
[no-exit-message]
edit *arguments: kernels
    @MARIMO_SKIP_UPDATE_CHECK=1 marimo edit notebooks --host 127.0.0.1 "$@"

# Open an interactive Python with the research packages, the library and the lake at hand
[no-exit-message]
research: kernels
    @python -i -c "$RESEARCH"

# Trade on paper, headless, where no research package is installed; arguments go to `novapulse live`
[no-exit-message]
live *arguments:
    #!/bin/sh
    set -eu
    case "${VIRTUAL_ENV-}" in
    */.venv-live) ;;
    *) exec ./run live "$@" ;;
    esac
    just kernels
    exec novapulse live --config config/paper.yaml "$@"

# Prove that the trader runs without any research package: a backtest and ten seconds of paper trading
[no-exit-message]
prove-live:
    #!/bin/sh
    set -eu
    case "${VIRTUAL_ENV-}" in
    */.venv-live) ;;
    *) exec ./run prove-live ;;
    esac
    just kernels
    python -c "$NO_RESEARCH"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    export NOVAPULSE_HOME="$scratch"
    novapulse config check >/dev/null
    novapulse demo --once
    novapulse live --config config/paper.yaml --duration 10

# Kill the paper trader at random moments, 200 of them unless told otherwise, a quarter in two threads: nothing is lost
[no-exit-message]
kills count="200" *arguments: kernels
    @kills=$1; shift; KILLS=$kills python -m pytest -o faulthandler_timeout=0 tests/test_kill.py "$@"

# Build the scripts and styles of the widgets anew (needs node and npm); arguments go to the build
[no-exit-message]
assets *arguments:
    #!/bin/sh
    set -eu
    cd novapulse/ui/widgets
    npm ci --no-audit --no-fund
    npm run build -- "$@"

# Join the scripts of a page of marimo anew, after another marimo was locked (needs node and npm); arguments go to the build
[no-exit-message]
marimo-files *arguments:
    #!/bin/sh
    set -eu
    marimo=$(python -c "import marimo; print(*marimo.__path__)")
    cd novapulse/ui/widgets
    npm ci --no-audit --no-fund
    node joined.mjs "$marimo" "$@"

# Compile the kernels into the user's cache, if any source has changed since
[no-exit-message]
kernels:
    #!/bin/sh
    set -eu
    stamp=${VIRTUAL_ENV:-.venv}/.kernels
    sources=$(find novapulse -name '*.py' -exec cksum {} + | sort | cksum)
    if [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$sources" ] && [ -d "$(tail -n 1 "$stamp")" ]; then
        exit 0
    fi
    python -m novapulse.compiled
    directory=$(python -c 'from novapulse.compiled import cache_directory; print(cache_directory())')
    printf '%s\n%s\n' "$sources" "$directory" >"$stamp"

# Run the test suite on another Python (3.12, 3.13 or the path of an interpreter) in an environment of its own
[no-exit-message]
test-python version *arguments:
    #!/bin/sh
    set -eu
    wanted=$1
    shift
    python=$(uv python find --no-project --system "$wanted") || { echo "no Python $wanted on this machine: nothing was tested" >&2; exit 1; }
    folder=.venv-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    PYTHON=$python RUN_IN=$folder exec ./run test "$@"

# Resolve all dependencies anew, to the newest that pyproject.toml allows, and write the three locks
[no-exit-message]
lock:
    #!/bin/sh
    set -eu
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir "$scratch/novapulse"
    cp pyproject.toml "$scratch"
    cp novapulse/__init__.py "$scratch/novapulse"
    touch "$scratch/README.md" "$scratch/LICENSE" "$scratch/NOTICE"
    export_to() {
        file=$1
        shift
        {
            echo "# Written by 'just lock' from pyproject.toml. Hashes, no addresses: any index that serves these files will do."
            uv export -q --project "$scratch" --format requirements-txt --no-emit-project --no-annotate --no-header "$@"
        } >"$scratch/$file"
        mv "$scratch/$file" "$file"
    }
    uv lock --project "$scratch"
    export_to requirements.lock --all-extras --group dev --group bench
    export_to live.lock --no-default-groups --group setup
    export_to bootstrap.lock --only-group bootstrap

# Show that each lock installs from wheels alone on every supported Python and machine (needs the network)
[no-exit-message]
lock-check:
    #!/bin/sh
    set -eu
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    export MACOSX_DEPLOYMENT_TARGET=14.0
    failed=0
    for lock in requirements.lock live.lock bootstrap.lock; do
        for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin; do
            for version in 3.11 3.12 3.13; do
                if uv pip install --dry-run --only-binary :all: --require-hashes --target "$scratch" \
                    --python-platform "$platform" --python-version "$version" -r "$lock" >"$scratch/log" 2>&1; then
                    echo "$lock on $platform, Python $version: $(grep -c '^ + ' "$scratch/log") packages"
                else
                    echo "$lock on $platform, Python $version: DOES NOT RESOLVE"
                    sed 's/^/    /' "$scratch/log"
                    failed=1
                fi
            done
        done
    done
    exit $failed

export RESEARCH := '''
import os
import numpy as np
import polars as pl
import novapulse
from novapulse import backtest
from novapulse.config import lake_folder
from novapulse.market.lake import Lake
lake = Lake(lake_folder(os.environ))
print(f"NovaPulse {novapulse.__version__}: np, pl, novapulse, backtest and lake are at hand, vectorbt when imported.")
print(f"lake: {lake.path}, {len(lake.series())} series")
'''

export NO_RESEARCH := '''
import sys
from importlib.util import find_spec
research = "altair anywidget marimo matplotlib optuna papermill plotly scipy sklearn skl2onnx talib vectorbt vectorbt_rust".split()
found = [name for name in research if find_spec(name)]
sys.exit(f"research packages in the live environment: {found}") if found else print(f"{sys.prefix}: no research package can be imported")
'''
