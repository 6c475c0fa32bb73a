"""The body: the simulated arm, its table and its cameras. Imports mujoco, never torch."""
