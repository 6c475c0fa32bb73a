"""What all tasks share: goals, scenes, the oracle's calls and events."""
