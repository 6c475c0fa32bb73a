"""The functions that ``import qwenarm`` offers. The command line is a thin layer over them."""
