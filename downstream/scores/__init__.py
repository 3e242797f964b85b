"""Metrics, pure numpy."""
