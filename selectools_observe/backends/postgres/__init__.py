"""The PostgreSQL backend: a row a run, in a schema of its own; needs the extra ``postgres``."""
