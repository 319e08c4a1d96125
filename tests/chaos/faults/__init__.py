"""The faults. Each one sets its traps, begins the round, waits until the task is in the trap, and does its damage."""

from tests.chaos.faults import airflow, people, service, task, waiting
from tests.chaos.faults.registry import FAULTS, faults_of

__all__ = ["FAULTS", "airflow", "faults_of", "people", "service", "task", "waiting"]
