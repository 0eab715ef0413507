"""Training agents: the loop, evaluation, checkpoints, the run directory. Does not know which agent it trains."""
