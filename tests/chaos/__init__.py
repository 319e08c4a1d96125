"""Chaos: processes die, services fail and people click, at every step of a send, on a real Airflow."""
