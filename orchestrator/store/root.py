"""The root of results, by its path or its URI."""

from __future__ import annotations

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


def files_at(root: str | os.PathLike[str]) -> Files:
    """Files under a local path or a URI such as s3://bucket/prefix.

    Raises:
        AuditError: the URI names no known file system, or it cannot be reached.
    """
    text = os.fspath(root)
    if "://" not in text:
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
    return RemoteFiles(filesystem, base, text)
