"""From an observation to chat messages."""
