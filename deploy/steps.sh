#!/usr/bin/env bash
# The steps of the image: aasist with its service into a folder of its own, small and looked at.
#
#     deploy/steps.sh DESTINATION [PYTHON]
#
# Containerfile runs it while the image is built, .ci/run on any machine.
set -euo pipefail
destination=${1:?usage: deploy/steps.sh DESTINATION [PYTHON]}
python=${2:-python3}
source=$(cd "$(dirname "$0")/.." && pwd)
if [ -e "$destination" ]; then
    echo "steps.sh: $destination is there already: name a folder that is not" >&2
    exit 2
fi
export PIP_CONSTRAINT="$source/constraints.txt" PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

"$python" -m venv "$destination"
"$destination/bin/python" -m pip install --quiet "$source[postgres,serve]"
# Nothing is installed into an image that runs, and pip is what most scanners complain of.
"$destination/bin/python" -m pip uninstall --quiet --yes pip setuptools 2>/dev/null || true
# Read-only, it could never write them itself.
"$destination/bin/python" -m compileall -q -j 0 "$destination/lib" >/dev/null || true

# Looked at, as its user will have it: it judges, it makes its tables, and it brought no torch.
"$destination/bin/aasist" detect --threads 1 "$source/examples/human-librivox-en.flac"
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
AASIST_STATE_DIR=$state "$destination/bin/aasist" serve keys list  # makes the tables
"$destination/bin/python" - <<'PYTHON'
import importlib.util
import sys

import psycopg, uvicorn, websockets  # noqa: F401

sys.exit("torch is no part of a service" if importlib.util.find_spec("torch") else 0)
PYTHON
echo "steps.sh: $("$destination/bin/aasist" --version) in $destination, $(du -sh "$destination" | cut -f1)"
