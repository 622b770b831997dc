"""The recorder for code with no framework: runs, steps and decorators."""
