"""The mind: models, prompts and policies. Imports torch where a checkpoint is run, and never mujoco."""
