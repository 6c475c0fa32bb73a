"""From a model's text to calls."""
