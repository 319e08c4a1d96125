"""The faults. Each arms its traps, begins the round, waits until the task is caught at its point, and does its evil."""

from tests.chaos.faults import airflow, people, service, task, waiting
from tests.chaos.faults.registry import FAULTS

__all__ = ["FAULTS", "airflow", "people", "service", "task", "waiting"]
