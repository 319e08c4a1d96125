"""The tests. The folders below ``unit`` mirror those of the package."""
