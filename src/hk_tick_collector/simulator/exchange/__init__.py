"""The simulated market: what is listed, when it trades, which ticks are made. No network."""
