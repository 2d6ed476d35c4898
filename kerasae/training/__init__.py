"""How the models learn: alternating updates and greedy phases."""
