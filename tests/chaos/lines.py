"""The lines of the guide's tables in "What happens when", as they begin there. Each is played by at least one fault."""

from __future__ import annotations

# The task process is killed:
BEFORE_INTENT = "before it has written that it will send"
BEFORE_OUTCOME = (
    "after that, before the request, in the middle of it, before the answer, or before the answer was recorded"
)
AFTER_OUTCOME = "after the answer was recorded, while it waits, while it is deferred, when it comes back"
NO_RETRY_LEFT = "the same, with no retry left"
SIGTERM_BEFORE_REQUEST = "SIGTERM before the request"
SIGTERM_IN_REQUEST = "SIGTERM in mid-request"
TIMEOUT = "`execution_timeout` in mid-request"

# People:
MARKED_FAILED = "mark it as failed before or in mid-request"
CLEARED_IN_REQUEST = "clear it before or in mid-request"
CLEARED_WAITING = "clear it while it waits for its ticket"
CLEARED_DEFERRED = "clear it while it is deferred"
CLEARED_AFTER_END = "clear it after its end"

# Airflow:
SUPERVISOR_BEFORE_INTENT = "the supervisor dies, or stands still, before the intent was written"
SUPERVISOR_AFTER_INTENT = "... after it was written"
AWAY_BEFORE_INTENT = "the API server is away when the journal is read or the intent is written"
AWAY_AFTER_INTENT = "it took the intent, and every answer to it was lost"
AWAY_AT_OUTCOME = "it is away when the outcome is written"
AWAY_AT_SUCCESS = "it is away when the task tells its success"
SCHEDULER = "the scheduler, its workers or the triggerer die"

# The service:
REFUSES_FOR_NOW = "cannot be reached, TLS, 429, 503 with the API's own error"
REFUSES = "4xx of the API's own"
UNKNOWN = "closes the connection, is silent, cuts its answer, other 5xx, 200 without a ticketId, a redirect"
TICKET_FAILS = "accepts, and the ticket ends as failed"

LINES = tuple(value for name, value in list(globals().items()) if name.isupper() and isinstance(value, str))
