"""Checkpoints: what a folder holds, whether it fits into memory, and loading it."""
