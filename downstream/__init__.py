"""Turns a checkpoint into scores."""
