"""The runtime: threads, event loops, locks and forks."""
