"""The command line: words in, progress and tables out."""
