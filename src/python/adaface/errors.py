"""The exceptions of this package: each is an Error and the built-in exception that is closest."""
from __future__ import annotations


class Error(Exception):
    """Anything that failed. The message names the file, tensor or option and what was expected."""

    code: str = 'internal'
    """The kind of failure: stable, lower case, as the programs print it in JSON."""


class InvalidArgumentError(Error, ValueError):
    """A value is outside its documented range."""

    code = 'invalid_argument'


class NotFoundError(Error, FileNotFoundError):
    """A file or directory does not exist."""

    code = 'not_found'


class FileError(Error, OSError):
    """The system refused to read or write: permissions, full disk, a directory in place of a file."""

    code = 'io'


class CorruptError(Error, ValueError):
    """A file is not what its format promises: truncated, inconsistent, checksum wrong."""

    code = 'corrupt'


class UnsupportedError(Error, NotImplementedError):
    """Well formed, but something that this build or this machine does not do."""

    code = 'unsupported'


class LimitError(Error, ValueError):
    """Well formed, but larger than a limit that the caller can raise."""

    code = 'limit'


class CancelledError(Error):
    """Stopped on request."""

    code = 'cancelled'


class OutOfMemoryError(Error, MemoryError):
    """Memory ran out."""

    code = 'out_of_memory'


class InternalError(Error, RuntimeError):
    """A defect of this library, or a failing device."""

    code = 'internal'


_CLASSES = {kind.code: kind
            for kind in (InvalidArgumentError, NotFoundError, FileError, CorruptError, UnsupportedError,
                         LimitError, CancelledError, OutOfMemoryError, InternalError)}


def error_class(code: str) -> type[Error]:
    """The class whose ``code`` this is; InternalError for one that is not known."""
    return _CLASSES.get(code, InternalError)
