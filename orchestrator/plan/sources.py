"""A data set that the configuration names; imports neither torch nor ray."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.datasets.base import DataSource, Labels, datasets
from tasks.datasets.checks import check_labels
from tasks.datasets.limited import limited
from tasks.errors import AuditError
from tasks.fields import text_fields
from tasks.plugged import calling
from tasks.registry import parse_text


def read_source(
    text: str, options: Mapping[str, Any], *, name_at: str, options_at: str, limit: int = 0, seed: int = 0
) -> tuple[DataSource, Labels]:
    """The data set of a name, or `name:key=value,...`, with its options, and its labels.

    Args:
        text: what the configuration names; what is written inline wins over the options.
        options: fields of the data set.
        name_at: key of the name, for messages.
        options_at: key of the options, for messages.
        limit: examples, at most; 0: all.
        seed: of the draw of these.

    Raises:
        AuditError: there is no such data set, an option is wrong, or its files cannot be read.
    """
    kind = datasets.get(text.partition(":")[0].strip(), where=name_at)
    name, inline = parse_text(text, where=name_at, texts=text_fields(kind))
    source = datasets.build(name, {**options, **inline}, where=options_at)
    with saying(options_at, source):
        labels = source.read_labels()
        check_labels(source, labels)
        source, labels = limited(source, labels, limit, seed)
        labels.labels.setflags(write=False)  # attacks and every stage see this one array
        return source, labels


@contextlib.contextmanager
def saying(where: str, *plugins: object) -> Iterator[None]:
    """Put the key of the configuration before what is wrong with its value.

    Args:
        where: the key.
        plugins: whose code is called, where it may be a plug-in: whatever that raises is one line too.

    Raises:
        AuditError: what was called refuses the value, or a file that it names cannot be looked at.
    """
    try:
        with calling(*plugins):
            yield
    except AuditError as error:
        raise type(error)(f"{where}: {error}") from None
    except OSError as error:  # a name that is too long, a loop of links, a folder of somebody else's
        named = f"{error.filename}: " if error.filename else ""
        raise AuditError(f"{where}: {named}{error.strerror or error}") from None
