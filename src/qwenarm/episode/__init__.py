"""Play an episode, store it, and replay it."""
