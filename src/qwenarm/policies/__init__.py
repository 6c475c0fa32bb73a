"""Who plays: one file each."""
