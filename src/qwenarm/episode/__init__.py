"""Play an episode, keep it, and play it again."""
