"""Small models on a CPU, faster: fused projections, packed weights, guessed tokens. Optional."""
