"""Words and goals: instructions are read as goals, and goals are written as instructions."""
