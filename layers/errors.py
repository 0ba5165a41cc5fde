"""Everything that goes wrong in ``layers``.

LayersError
├── InvalidError (ValueError)       text or a document that breaks its grammar or schema
├── NotFoundError (LookupError)     no blob, image, tag or repository of that name
├── VerificationError               content is not what its digest or size promised
├── ChangesetError                  a layer's tar cannot be read, written or applied
│   ├── UnsafePathError             a name that leads out of the root file system
│   └── LimitError                  more entries, bytes or nesting than the limits allow
├── StoreError                      the store on disk cannot be used
│   └── BusyError                   somebody else uses it, and the wait is over
└── RegistryError                   a registry refused, or could not be reached
    └── AuthenticationError         credentials are missing or wrong
"""

from __future__ import annotations


class LayersError(Exception):
    """The base of this package's errors: a message that says what and where, and how to fix it where that is known."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidError(LayersError, ValueError):
    """Text or a document breaks its grammar or schema."""


class NotFoundError(LayersError, LookupError):
    """There is no blob, image, tag or repository of that name."""


class VerificationError(LayersError):
    """Content is not what its descriptor promised; both sides are named."""

    def __init__(self, what: str, *, expected: object, actual: object, hint: str = "") -> None:
        super().__init__(f"{what}: expected {expected}, got {actual}", hint=hint)
        self.expected = expected
        self.actual = actual


class ChangesetError(LayersError):
    """A layer's tar cannot be read, written or applied."""


class UnsafePathError(ChangesetError):
    """A name leads out of the root file system."""


class LimitError(ChangesetError):
    """There is more of something than the limits for untrusted content allow."""


class StoreError(LayersError):
    """The store on disk cannot be used."""


class BusyError(StoreError):
    """Somebody else uses the store in a way that excludes this one."""


class RegistryError(LayersError):
    """A registry refused a request or could not be reached."""

    def __init__(self, message: str, *, hint: str = "", status: int | None = None, code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


class AuthenticationError(RegistryError):
    """Credentials are missing or wrong."""
