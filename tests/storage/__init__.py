"""Real S3: the journal, reports, rows and alerts in a bucket of moto's server."""
