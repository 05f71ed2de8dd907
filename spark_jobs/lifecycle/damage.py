"""Find the file that Spark could not read in its error, and tell a damaged file from storage that does not answer."""

from __future__ import annotations

import re

_FILE = re.compile(r"Encountered error while reading file (.+?)\.(?:\s|$)")
# The file itself may be intact: it is missing, not readable, or its storage is unavailable for the moment.
_NOT_THE_FILE = re.compile(
    r"FILE_NOT_EXIST|FileNotFound|AccessControl|AccessDenied|Access Denied|Permission denied|Too many open files|"
    r"OutOfMemory|Connect(ion)?\w*Exception|SocketException|SocketTimeout|UnknownHost|NoRouteToHost|BlockMissing|"
    r"StandbyException|SdkClientException|InterruptedIOException|ClosedByInterrupt|ClosedChannel"
)


def unreadable_file(text: str) -> str | None:
    """Return the path or address of the file that Spark could not read; `None` if the error names none.

    Examples
    --------
    >>> unreadable_file("Encountered error while reading file file:///data/a.parquet. Details: …")
    '/data/a.parquet'
    """
    found = _FILE.search(text)
    return re.sub("^file:(//)?", "", found[1]) if found else None


def damaged_file(text: str) -> str | None:
    """Return the name, without its folder, of a file with damaged content; `None` if the error names none.

    Examples
    --------
    >>> damaged_file("Encountered error while reading file /data/a.parquet. It is not a Parquet file")
    'a.parquet'
    >>> damaged_file("Encountered error while reading file /data/a.parquet. Permission denied")
    """
    file = unreadable_file(text)
    return None if file is None or _NOT_THE_FILE.search(text) else file.rsplit("/", 1)[-1]
