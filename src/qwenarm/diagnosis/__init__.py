"""Why episodes failed: counterfactual replays, and tests of pointing alone."""
