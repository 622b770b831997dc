"""The backends, as coroutines; none imports another."""
