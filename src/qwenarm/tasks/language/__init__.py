"""Language: reads instructions as goals, and writes goals as instructions."""
