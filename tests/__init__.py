"""The tests; their folders below ``unit`` mirror the package."""
