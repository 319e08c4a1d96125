"""Snapshots of every message that a user can meet."""
