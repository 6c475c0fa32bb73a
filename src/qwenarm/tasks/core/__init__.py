"""What every task is made of: goals, scenes, the oracle's calls, events."""
