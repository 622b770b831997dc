"""Files of the user's alone, and only files: new ones readable by nobody else, no pipes, no links.

What agents did holds prompts, answers and, by accident, secrets. A new file is made with mode 0600
and a new folder with 0700, whatever the umask; one that is there keeps the mode that it was given.
"""

from __future__ import annotations

import contextlib
import os
import stat

from ...errors import StorageError

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def make_folder(folder: str) -> None:
    """Make a folder and those above it, as far as they are missing."""
    missing = []
    while folder and not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):  # made by somebody else meanwhile
            os.mkdir(path, FOLDER_MODE)
    if missing and not os.path.isdir(missing[0]):  # what is there is not a folder
        os.makedirs(missing[0])


def create(path: str) -> None:
    """Make an empty file, if there is none.

    A descriptor of it is not opened where that can be helped: closing one takes away the locks that
    other threads of this process have on a database.
    """
    with contextlib.suppress(FileExistsError):
        if hasattr(os, "mknod"):
            try:
                os.mknod(path, FILE_MODE | stat.S_IFREG)
            except PermissionError:  # some systems let only root do that
                pass
            else:
                return
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))


def check_regular(
    path: str, *, one_name: bool = False, remedy: str = "Give the path of a file"
) -> None:
    """Refuse what is there and is not a file: opening a pipe would wait for ever.

    Args:
        path: What may be there.
        one_name: Refuse a file that has another name too: it is another one's, to be written over.
        remedy: What to do about a pipe or a device.

    Raises:
        StorageError: It is a pipe, a socket or a device.
        IsADirectoryError: It is a directory.
    """
    try:
        found = os.stat(path)
    except OSError:
        return  # not there, or whoever opens it says why not
    mode = found.st_mode
    if one_name and stat.S_ISREG(mode) and found.st_nlink > 1:
        raise StorageError(path, "it is a hard link of another file", "Remove the link")
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "Is a directory")
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "a special file")
        raise StorageError(path, f"it is {kind}, not a regular file", remedy)


_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
