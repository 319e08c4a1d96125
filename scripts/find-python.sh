#!/usr/bin/env bash
# Prints a Python: for an Airflow version one that can carry it; for "floor" the lowest that this provider supports; for
# "ceiling" the newest one that it and Airflow can have. PYTHON comes first, then what is on the PATH, then pyenv's
# (whose names on the PATH fail for every version that is not switched on). For the floor and the ceiling, uv (if UV
# names it) fetches what is not here. What is taken instead of a better one is said on stderr.
#   usage: scripts/find-python.sh 3.3|floor|ceiling|python3.12
#          scripts/find-python.sh 3.3 versions    prints the Pythons that Airflow 3.3 runs on
set -euo pipefail
shopt -s nullglob
series=$1

case $series in
    2.11 | 3.0) fits="3.10 3.11 3.12" ;;
    3.1) fits="3.10 3.11 3.12 3.13" ;;
    3.2 | 3.3) fits="3.10 3.11 3.12 3.13 3.14" ;;
    floor) fits="3.10" ;;
    ceiling) fits="3.14 3.13 3.12 3.11" ;; # the best first
    python*) fits="${series#python}" ;;
    *) fits="3.11 3.12 3.13 3.14" ;;
esac

if [[ ${2:-} == versions ]]; then
    echo "$fits"
    exit
fi

about() { # "3.12", and " without venv" where pip could not be installed (Debian: python3-venv)
    "$1" -c '
import importlib.util as u, sys
print("%d.%d%s" % (*sys.version_info[:2], "" if u.find_spec("venv") and u.find_spec("ensurepip") else " without venv"))
' 2>/dev/null
}

first_of() { # the first Python whose version is one of these
    local python found
    for python in "${PYTHON:-python3}" python3.12 python3.11 python3.10 python3.13 python3.14 python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python; do
        found=$(about "$python") || continue
        if [[ " $* " == *" $found "* ]]; then
            echo "$python"
            return
        fi
    done
    return 1
}

fetch() { # this version, by uv
    [[ -x ${UV:-} ]] && UV_HTTP_RETRIES=0 "$UV" python install --quiet "$1" 2>/dev/null &&
        "$UV" python find --quiet --managed-python "$1"
}

if [[ $series == floor || $series == ceiling || $series == python* ]]; then
    for version in $fits; do
        if first_of "$version" || fetch "$version"; then
            exit
        fi
        echo "Python $version is not on this machine, and uv could not fetch it." >&2
    done
    exit 1
fi

# shellcheck disable=SC2086 (the versions are words)
first_of $fits && exit

given=$(about "${PYTHON:-python3}") || given="not there"
echo "Airflow $series runs on Python ${fits// /, }, with venv; '${PYTHON:-python3}' is $given, and none of them is on" \
    "the PATH. Install one (such as python3.12 and python3.12-venv), or name it: make PYTHON=/its/path ..." >&2
exit 1
