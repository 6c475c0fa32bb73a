"""Running a checkpoint: prompts in, tokens out."""
