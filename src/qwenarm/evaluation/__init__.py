"""Suites, ledgers and the workers that play them."""
