"""The live page: a browser shows an episode while it is played, and lets visitors take part.

Two processes: the player (``player.py``) plays episodes and appends to a journal; the server (``server.py``) reads the
journal and serves the page. Viewers never touch the player, so no tab can slow or hurt a run.
"""
