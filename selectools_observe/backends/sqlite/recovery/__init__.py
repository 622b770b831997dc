"""Verifying, backing up, compacting and repairing SQLite files."""
