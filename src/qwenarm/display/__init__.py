"""What people see of an episode: captions, film, terminal, page."""
