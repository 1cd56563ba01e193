"""The steps of a scenario: their grammar, and what each does to gateway and market."""
