"""The simulated OpenD towards its clients: connections, subscriptions, answers."""
