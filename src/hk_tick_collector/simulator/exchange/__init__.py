"""The simulated market: which securities are listed, when they trade, which ticks are made. No network."""
