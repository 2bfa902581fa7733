"""Docstrings of the standard library: real text, the same for all who run one version of Python."""

import inspect
import textwrap
from dataclasses import replace

import pytest

from tasks.datasets import text_rows
from tasks.datasets.checks import check_labels, checked_inputs, checked_public
from tasks.datasets.python_docstrings import PythonDocstrings
from tasks.errors import AuditError

SOURCE = PythonDocstrings(public_fraction=0.3)


def test_examples_are_docstrings_of_modules_that_are_not_public():
    labels = SOURCE.read_labels()
    check_labels(SOURCE, labels)
    documents, public = checked_inputs(SOURCE, labels), checked_public(SOURCE, labels)
    assert len(documents) > 100
    assert len(public) > 30
    assert labels.longest <= 242
    text, group = SOURCE.text(0), labels.group_names[labels.groups[0]]
    module = __import__(group)
    known = [module.__doc__ or "", *(inspect.getdoc(value) or "" for value in vars(module).values())]
    methods = [
        inspect.getdoc(m) or "" for v in vars(module).values() if inspect.isclass(v) for m in vars(v).values()
    ]
    assert any(text == inspect.cleandoc(doc) for doc in known + methods)
    held = SOURCE._read()
    assert {row.group for row in held.rows}.isdisjoint({row.group for row in held.public})


def test_another_version_of_python_has_another_digest(tmp_path, monkeypatch):
    def library(text):
        path = tmp_path / "heapq.py"
        path.write_text(textwrap.dedent(text))
        monkeypatch.setattr("tasks.datasets.python_docstrings.library_files", lambda: [path])
        return replace(SOURCE, shortest_text=5, public_fraction=0.0)

    source = library(
        '''
        def push():
            """Add to a heap,
               at its place.
            """
        class Heap:
            """A tree."""
            def pop(self): "Short?"
        if True:
            def push(): """Another one"""
        '''
    )
    assert [source.text(i) for i in range(3)] == ["Add to a heap,\nat its place.", "A tree.", "Short?"]
    assert [row.id for row in source.parts()[0]] == ["heapq.push", "heapq.Heap", "heapq.Heap.pop"]
    before = source.digest()
    text_rows._cached.cache_clear()
    assert library('def push(): """Add to a pile"""').digest() != before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"shortest_text": 300}, "shortest_text: expected 1 to longest_text = 240"),
        ({"public_fraction": 1.0}, r"public_fraction: expected a number in \[0, 1\)"),
    ],
)
def test_bad_options_are_refused(options, expected):
    with pytest.raises(AuditError, match=expected):
        PythonDocstrings(**options)
