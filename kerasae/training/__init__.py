"""How the models learn: in greedy phases, and from where a run was killed."""
