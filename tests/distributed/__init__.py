"""Airflow as on several machines: a broker and two workers, one of which is killed."""
