"""The exit codes of the command."""

OK = 0
NOTHING = 1
USAGE = 2
STORE = 3
INTERNAL = 70
INTERRUPTED = 130
PIPE_CLOSED = 141

EXIT_CODES = {
    OK: "success",
    NOTHING: "nothing found or done; `verify` found damage; `compare` found a difference",
    USAGE: "usage error",
    STORE: "the store, or a file, could not be read or written",
    INTERNAL: "internal error: please report it",
    INTERRUPTED: "interrupted (Ctrl+C)",
    PIPE_CLOSED: "the reader of its output closed the pipe, as in `| head`",
}


class PipeClosedError(Exception):
    """Whoever read our output had enough. Not a `BrokenPipeError`: click would exit with 1."""
