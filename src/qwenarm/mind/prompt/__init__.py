"""Turns an observation into chat messages."""
