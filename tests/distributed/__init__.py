"""More than one machine's worth of Airflow: a broker, two workers, and one of them is killed."""
