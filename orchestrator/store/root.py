"""The root of results, by its path or its URI."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from orchestrator.store.files import Files, reason_of
from orchestrator.store.local_files import LocalFiles
from orchestrator.store.remote_files import RemoteFiles
from tasks.errors import AuditError

PASSWORD = re.compile(r"[^/]+://[^/]*:[^/]*@")


ONE_SLASH = re.compile(r"(s3|gs|gcs|hdfs|abfss?|file):/(?!/)")
"""A URI that lacks a slash; as a directory it would lie beside the user's own, under the name of a scheme."""
NEVER = {errno.ENAMETOOLONG, errno.ELOOP}
"""What the file system says of names that cannot come to be a directory."""


def rooted(root: str | os.PathLike[str]) -> str:
    """The root with the home directory for `~`, which a shell leaves in `--out=~/x`: Arrow would replace it, the system
    not."""
    text = os.fspath(root)
    return text if "://" in text else os.path.expanduser(text)


def _check_name(text: str) -> None:
    if ONE_SLASH.match(text):
        raise AuditError(f"results: expected a directory, or a URI with two slashes, got '{text}'")
    try:
        os.stat(text)
    except ValueError:
        raise AuditError(f"results: expected a path without NUL, got {text!r:.80}") from None
    except OSError as error:
        if error.errno in NEVER:
            raise AuditError(
                f"results: '{text:.80}': {reason_of(error)}; expected another directory"
            ) from None


def files_at(root: str | os.PathLike[str]) -> Files:
    """Files under a local path or a URI such as s3://bucket/prefix.

    Raises:
        AuditError: the URI names no known file system, or it cannot be reached; or no directory can have such a name.
    """
    text = rooted(root)
    if "://" not in text:
        _check_name(text)
        return LocalFiles(Path(text))
    if PASSWORD.match(text):
        raise AuditError(
            "results: expected a URI without a key or password, which would be shown and recorded; give them in "
            "the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or the provider's own files"
        )
    try:
        filesystem, base = pafs.FileSystem.from_uri(text)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise AuditError(f"results: cannot use '{text}': {reason_of(error)}") from error
    if isinstance(filesystem, pafs.LocalFileSystem):
        return LocalFiles(Path(base))
    if not base:
        raise AuditError(f"results: expected a bucket or a folder behind '{text}', got none")
    return RemoteFiles(filesystem, base, text)
