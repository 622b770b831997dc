"""How the service answers while it is attacked, and while many ask at once."""
