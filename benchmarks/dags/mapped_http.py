"""One mapped ``HttpOperator`` task for each notification; the benchmark runs it by ``dag.test``."""

from __future__ import annotations

import json
import os

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG

with DAG("mapped_http", schedule=None) as dag:
    HttpOperator.partial(
        task_id="send",
        http_conn_id="api",
        method="POST",
        headers=json.loads(os.environ.get("BENCHMARK_HEADERS", "{}")),
        data='{"value": "You have points", "label": "Points"}',
    ).expand(endpoint=json.loads(os.environ.get("BENCHMARK_ENDPOINTS", "[]")))
