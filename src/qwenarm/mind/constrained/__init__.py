"""Grammars that hold an answer to the tools: Lark for llguidance, structural tags for servers."""
