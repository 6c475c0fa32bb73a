"""The arms, one file each; the file's name is the arm's id, ``ARM`` the entry (see ``parts.Arm``)."""
