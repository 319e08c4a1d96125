"""Apache Airflow provider for the PassNotify push-notification API."""

__version__ = "0.1.0"
