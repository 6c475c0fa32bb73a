"""What can lie on the table."""
