"""What operators see of the service: findings, alerts, metrics, the checks of `doctor`, explanations."""
