#!/usr/bin/env bash
# Makes constraints/airflow-X.txt anew: what pyproject.toml needs, as of the days of each Airflow release; and
# constraints/floor.txt: the same with each package that it names as old as it may be, as of the day of Airflow 2.11's.
#   usage: scripts/constraints.sh UV        (UV: the uv command; `make constraints` installs it)
#
# Each date is just after the release: with later packages an older Airflow breaks (3.0 with a later FastAPI, for one).
# Only the compatibility package, through which one code base serves all versions, may be younger.
# Of pre-releases only Airflow's own packages are taken: its next version is tested before it is out.
# For a new release change its line: version, date and lowest Python. The files hold names and versions, and no address
# of a package index.
set -euo pipefail
cd "$(dirname "$0")/.."

# The guide is built (and the sandbox's page is tried) on the newest only: its parser needs a newer Python, and other packages, than some of the others have.
while read -r series version date python extras; do
    # shellcheck disable=SC2086 (the extras are words)
    "$1" pip compile pyproject.toml --extra dev --extra benchmark $extras --constraint <(echo "apache-airflow==$version") --upgrade --quiet \
        --universal --python-version "$python" \
        --prerelease-package apache-airflow-core=allow --prerelease-package apache-airflow-task-sdk=allow \
        --exclude-newer "$date" --exclude-newer-package apache-airflow-providers-common-compat=2026-11-20 \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --output-file "constraints/airflow-$series.txt" >/dev/null
    echo "constraints/airflow-$series.txt: Airflow $version, $(wc -l <"constraints/airflow-$series.txt") lines"
done <<'END'
2.11 2.11.2  2026-03-18 3.10
3.0  3.0.6   2025-09-10 3.10
3.1  3.1.8   2026-03-18 3.10
3.2  3.2.2   2026-06-05 3.10
3.3  3.3.2   2026-10-05 3.10 --extra docs --extra browser --extra release
3.4  3.4.0b2 2026-10-21 3.11
END

options="--python-version 3.10 --exclude-newer 2026-03-18 --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links"
# (pydantic pins pydantic-core, which has no bound of its own. Airflow 2.11.0 allows universal-pathlib 0.3, which its
# ObjectStoragePath does not work with; 2.11.2 does not allow it.)
# shellcheck disable=SC2086 (the options are words)
{
    lowest=$("$1" pip compile pyproject.toml --extra sandbox --extra sql --no-deps --resolution lowest-direct $options |
        grep -v pydantic-core)
    "$1" pip compile pyproject.toml --extra dev --constraint <(printf "%s\n" "$lowest" "universal-pathlib<0.3") \
        --upgrade $options --output-file constraints/floor.txt >/dev/null
}
echo "constraints/floor.txt: $(wc -l <constraints/floor.txt) lines"
