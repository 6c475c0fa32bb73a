"""Why episodes failed: counterfactual replays, and pointing alone."""
