"""What the models learn from: embedded procedural sets, real sets and toys."""
