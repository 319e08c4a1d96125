#!/usr/bin/env bash
# Prints a Python that can carry an Airflow version: PYTHON if it can, else the first that can on the PATH or of pyenv's
# (whose names on the PATH fail for every version that is not switched on).
#   usage: scripts/find-python.sh 3.3
set -euo pipefail
series=$1

case $series in
    2.11 | 3.0) fits="3.10 3.11 3.12" ;;
    3.1) fits="3.10 3.11 3.12 3.13" ;;
    3.2 | 3.3) fits="3.10 3.11 3.12 3.13 3.14" ;;
    *) fits="3.11 3.12 3.13 3.14" ;;
esac

about() { # "3.12", and " without venv" where pip could not be installed (Debian: python3-venv)
    "$1" -c '
import importlib.util as u, sys
print("%d.%d%s" % (*sys.version_info[:2], "" if u.find_spec("venv") and u.find_spec("ensurepip") else " without venv"))
' 2>/dev/null
}

shopt -s nullglob
for python in "${PYTHON:-python3}" python3.12 python3.11 python3.10 python3.13 python3 \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python; do
    found=$(about "$python") || continue
    if [[ " $fits " == *" $found "* ]]; then
        echo "$python"
        exit
    fi
done

given=$(about "${PYTHON:-python3}") || given="not there"
echo "Airflow $series runs on Python ${fits// /, }, with venv; '${PYTHON:-python3}' is $given, and none of them is on" \
    "the PATH. Install one (such as python3.12 and python3.12-venv), or name it: make PYTHON=/its/path ..." >&2
exit 1
