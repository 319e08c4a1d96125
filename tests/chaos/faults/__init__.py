"""The faults. Each one sets its traps, begins the round, waits until the task is in the trap, and does its damage."""

from tests.chaos.faults import airflow, people, service, task, waiting
from tests.chaos.faults.registry import FAULTS

__all__ = ["FAULTS", "airflow", "people", "service", "task", "waiting"]
