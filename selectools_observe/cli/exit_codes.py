"""What the command's exit says to scripts."""

OK = 0
NOTHING = 1
USAGE = 2
STORE = 3
INTERNAL = 70
INTERRUPTED = 130
PIPE_CLOSED = 141

EXIT_CODES = {
    OK: "it did what was asked",
    NOTHING: "nothing was found or done; `verify` found damage; `compare` found a difference",
    USAGE: "the command was not understood",
    STORE: "the store, or a file, could not be read or written",
    INTERNAL: "a defect of this program: please report it",
    INTERRUPTED: "it was interrupted, by Ctrl-C",
    PIPE_CLOSED: "whoever read its output had enough, as in `| head`",
}


class PipeClosedError(Exception):
    """Whoever read our output had enough. Not a `BrokenPipeError`: click would exit with 1."""
