"""The real journal against a simulated Airflow, a simulated folder and a simulated API; see ``__main__``."""
