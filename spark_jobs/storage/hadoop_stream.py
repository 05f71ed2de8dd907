"""A file of a Hadoop file system as a Python stream, for reading parts of remote files."""

from __future__ import annotations

import io
from typing import Any


class HadoopStream(io.RawIOBase):
    """A file of a Hadoop file system as a raw Python stream that can seek.

    Parameters
    ----------
    stream
        An open `FSDataInputStream`.
    size
        Bytes in the file.
    """

    def __init__(self, stream: Any, size: int) -> None:
        self._stream = stream
        self._size = size

    def readable(self) -> bool:
        """Return whether bytes may be read."""
        return True

    def seekable(self) -> bool:
        """Return whether `seek` works."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return the number of bytes, 0 at the end."""
        data = self._stream.readNBytes(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte and return its position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        self._stream.seek(start + offset)
        return start + offset

    def tell(self) -> int:
        """Return the position of the next byte."""
        return int(self._stream.getPos())

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._stream.close()
        super().close()
