"""Reads a model's text as calls."""
