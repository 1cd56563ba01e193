"""The simulated OpenD's side towards clients: connections, subscriptions, answers."""
