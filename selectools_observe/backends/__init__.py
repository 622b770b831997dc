"""The three backends, as coroutines; none imports another."""
