"""Training of the models: in greedy phases, and with interrupted runs resumed."""
