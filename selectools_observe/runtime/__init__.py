"""Threads, event loops, locks and forks: the only package that knows which world it runs in."""
