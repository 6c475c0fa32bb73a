"""Servers: the arm as tools for an outside agent (MCP), and our agent as a policy for another simulator."""
