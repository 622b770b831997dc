"""Stores that save in a background thread, behind a bounded queue."""
