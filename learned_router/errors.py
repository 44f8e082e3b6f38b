"""The errors a caller can meet, one tree. Knows nothing of what raises them.

LearnedRouterError
├── InputError          the request, the file or the option given cannot be used as it is
│   └── LabelError      labels that cannot train, calibrate or evaluate a router
├── ArtifactError       an artifact folder that is missing, damaged, tampered with or of another version
│   └── ExportError     an artifact that was refused while it was being written
├── InferenceError      a request could not be decided though it is one; raised by strict routers alone
└── MissingExtraError   a command or function needs an optional extra that is not installed
"""


class LearnedRouterError(Exception):
    """Root of every error raised on purpose; its message says where, what was found, what was wanted, what to do."""


class InputError(LearnedRouterError, ValueError):
    """A request, file or option that cannot be used; the message names the field or the line."""


class LabelError(InputError):
    """Labels that cannot do what was asked of them: too few, of one class only, or without a split."""


class ArtifactError(LearnedRouterError):
    """An artifact that is missing, truncated, tampered with, or written by a newer version."""


class ExportError(ArtifactError):
    """An artifact refused during export: the graph disagrees with the model, or the disk could not hold it."""


class InferenceError(LearnedRouterError, RuntimeError):
    """A request that is none of the caller's fault could not be decided: no memory, or a session or number that broke."""


class MissingExtraError(LearnedRouterError, ImportError):
    """An optional part of the package is needed and absent; the message holds the line that installs it."""
