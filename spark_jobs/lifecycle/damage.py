"""Telling a damaged file from storage that does not answer, by what Spark says of a file that it could not read."""

from __future__ import annotations

import re

_FILE = re.compile(r"Encountered error while reading file (.+?)\.(?:\s|$)")
# The file may be as it should be: it is gone, it may not be read, or who keeps it is away for the moment.
_NOT_THE_FILE = re.compile(
    r"FILE_NOT_EXIST|FileNotFound|AccessControl|AccessDenied|Access Denied|Permission denied|Too many open files|"
    r"OutOfMemory|Connect(ion)?\w*Exception|SocketException|SocketTimeout|UnknownHost|NoRouteToHost|BlockMissing|"
    r"StandbyException|SdkClientException|InterruptedIOException|ClosedByInterrupt|ClosedChannel"
)


def unreadable_file(text: str) -> str | None:
    """Return the file that Spark could not read, as a path or address; `None` if it names none."""
    found = _FILE.search(text)
    return re.sub("^file:(//)?", "", found[1]) if found else None


def damaged_file(text: str) -> str | None:
    """Return the last part of the name of a file whose content is what Spark cannot read; `None` if it names none."""
    file = unreadable_file(text)
    return None if file is None or _NOT_THE_FILE.search(text) else file.rsplit("/", 1)[-1]
