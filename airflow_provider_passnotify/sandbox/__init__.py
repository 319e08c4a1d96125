"""A PassNotify service on your own machine: it knows the API, and nothing of the rest of this package."""
