"""Digests of the code behind Lethe's own methods, attacks, data sets and kinds of forget sets, next to their versions.

    python -m tests.support.source_digests --write

An id holds the `version` of such a class, not its code: whoever changes what comes out raises the version, and whoever
does not writes the table anew and so says that no number changes. A digest covers the module that defines the class and
the modules that it reaches in its own package and where numbers are made (objectives, metrics, measure, shadows,
statistics), but for the contracts (`base`): not training, networks and the runtime, whose changes are for
`CODE_VERSION`. Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from orchestrator.config.describe import REGISTRIES
from orchestrator.plan.plugins import imports_of

TABLE = Path(__file__).parents[1] / "orchestrator" / "plan" / "source_digests.json"
COMMAND = "python -m tests.support.source_digests --write"

MEASURING = ("tasks.objectives", "tasks.metrics", "tasks.measure", "tasks.shadows", "tasks.statistics")

Entry = dict[str, int | str]


def found() -> dict[str, Entry]:
    """`methods.finetune` and so on -> version and digest of its code, of what Lethe brings."""
    entries: dict[str, Entry] = {}
    for kind, registry in REGISTRIES.items():
        for name in registry.names():
            cls = registry.get(name)
            if cls.__module__.partition(".")[0] == "tasks":
                entries[f"{kind}.{name}"] = {"version": cls.version, "code": code_digest(cls.__module__)}
    return entries


def code_digest(module: str) -> str:
    """Digest of a module and of what it reaches beside it."""
    package = module.rpartition(".")[0]
    reached = {module: normalised(_source(module))}
    waiting = [module]
    while waiting:
        for name in _imported(waiting.pop(), (package, *MEASURING)):
            if name not in reached:
                reached[name] = normalised(_source(name))
                waiting.append(name)
    return hashlib.sha256(json.dumps(reached, sort_keys=True).encode()).hexdigest()[:20]


@functools.cache
def normalised(source: str) -> str:
    """The code without comments, docstrings and layout; strings below fields are documentation too."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, [statement for statement in block if not _text(statement)])
    return _dump(tree)


def _dump(node: object) -> str:
    """The tree as text, alike in every Python: `ast.dump` shows other empty fields in each."""
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={_dump(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])
        ]
        return f"{type(node).__name__}({', '.join(fields)})"
    return f"[{', '.join(map(_dump, node))}]" if isinstance(node, list) else repr(node)


def _text(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _imported(module: str, packages: tuple[str, ...]) -> Iterator[str]:
    """Modules in some packages that a module imports."""
    for name, attribute in _imports(_source(module), module.rpartition(".")[0]):
        inside = f"{name}.{attribute}"
        for reached in (inside, name) if attribute else (name,):
            within = any(reached.startswith(f"{package}.") for package in packages)
            if within and not reached.endswith(".base") and _file(reached) is not None:
                yield reached
                break


@functools.cache
def _imports(source: str, package: str) -> tuple[tuple[str, str], ...]:
    return tuple(imports_of(source.encode(), package))


def _source(module: str) -> str:
    file = _file(module)
    assert file is not None, module
    return file.read_text()


@functools.cache
def _file(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # a name of a module, not a module
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def stale(table: dict[str, Entry], entries: dict[str, Entry]) -> list[str]:
    """What is wrong with a table, a line for each entry."""
    lines = [f"{name} is not in the table" for name in entries.keys() - table.keys()]
    lines += [f"{name} is gone" for name in table.keys() - entries.keys()]
    for name in table.keys() & entries.keys():
        if table[name] == entries[name]:
            continue
        raised = table[name]["version"] != entries[name]["version"]
        lines.append(
            f"{name}: " + ("its version was raised" if raised else "its code changed, its version did not")
        )
    return sorted(lines)


def main() -> None:
    """Print what differs from the table; with --write, write it anew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the table as the code is now")
    options = parser.parse_args()
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    entries = found()
    print("\n".join(stale(table, entries)) or "nothing differs")  # noqa: T201
    if options.write:
        TABLE.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
