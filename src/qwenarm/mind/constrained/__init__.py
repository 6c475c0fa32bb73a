"""Grammars of the calls that tools allow: Lark for llguidance, structural tags for servers."""
