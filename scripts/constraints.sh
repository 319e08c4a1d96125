#!/usr/bin/env bash
# Makes constraints/airflow-X.txt anew: what pyproject.toml needs, as of the days of each Airflow release.
#   usage: scripts/constraints.sh UV        (UV: the uv command; `make constraints` installs it)
#
# Each date is just after the release: with later packages an older Airflow breaks (3.0 with a later FastAPI, for one).
# Only the compatibility package, through which one code base serves all versions, may be younger.
# For a new patch release change its line. The files hold names and versions, and no address of a package index.
set -euo pipefail
cd "$(dirname "$0")/.."

# The guide is built on the newest only: its parser needs a newer Python, and other packages, than some of the others have.
while read -r series version date extras; do
    # shellcheck disable=SC2086 (the extras are words)
    "$1" pip compile pyproject.toml --extra dev --extra benchmark $extras --constraint <(echo "apache-airflow==$version") --upgrade --quiet \
        --universal --python-version 3.10 \
        --exclude-newer "$date" --exclude-newer-package apache-airflow-providers-common-compat=2026-11-20 \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --output-file "constraints/airflow-$series.txt" >/dev/null
    echo "constraints/airflow-$series.txt: Airflow $version, $(wc -l <"constraints/airflow-$series.txt") lines"
done <<'END'
2.11 2.11.2 2026-03-18
3.0  3.0.6  2025-09-10
3.1  3.1.8  2026-03-18
3.2  3.2.2  2026-06-05
3.3  3.3.2  2026-10-05 --extra docs
END
