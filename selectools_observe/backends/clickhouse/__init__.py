"""The ClickHouse backend."""
