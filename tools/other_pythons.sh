#!/usr/bin/env bash
# Runs a part of the tests on every supported Python of this machine other than the one of .venv, each in a virtual
# environment of its own inside .venv, without torch. A Python that is not found is named, and is no error.
set -euo pipefail
cd "$(dirname "$0")/.."

PARTS=(
  tests/relevance_model tests/qtr_runtime tests/grpc_client/flow_control tests/grpc_server/core
  tests/grpc_server/test_server.py tests/grpc_client/test_target.py tests/spark_jobs/quality tests/spark_jobs/scoring
)
ours=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
tried=() missing=()
for version in 3.11 3.12 3.13; do
  [ "$version" != "$ours" ] || continue
  found=""
  for candidate in "$(command -v "python$version" || true)" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
    if [ -x "$candidate" ] && "$candidate" -c "import sys, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
      found=$candidate
      break
    fi
  done
  if [ -z "$found" ]; then
    missing+=("$version")
    continue
  fi
  folder=.venv/pythons/$version
  if ! cmp -s requirements/dev.lock "$folder/dev.lock"; then
    echo "Python $version: installing what the tests need, without torch"
    rm -rf "$folder"
    "$found" -m venv "$folder"
    "$folder/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps -r requirements/dev.lock
    "$folder/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --editable .
    cp requirements/dev.lock "$folder/dev.lock"
  fi
  echo "Python $version ($found)"
  "$folder/bin/python" -m pytest -q -p no:cacheprovider -m "not long" "${PARTS[@]}"
  tried+=("$version")
done
echo "other Pythons tried: ${tried[*]:-none}; not found on this machine: ${missing[*]:-none}"
