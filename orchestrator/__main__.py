"""The commands, a line each: `python -m orchestrator`."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from orchestrator.errors import Exit, run_command
from tasks.errors import AuditError, unknown_name

IS_COMMAND = 'if __name__ == "__main__":'


def main(arguments: list[str] | None = None) -> int:
    """List the commands; their names are words of other command lines, so any word is refused."""
    words, known = sys.argv[1:] if arguments is None else arguments, commands()
    for word in words:
        if word in known:
            raise AuditError(f"expected python -m orchestrator.{word}, got python -m orchestrator {word}")
        if word not in ("-h", "--help"):
            raise unknown_name("command", word, known)
    lines = [f"  {name:12}{told}" for name, told in known.items()]
    print("\n".join(["commands, each as python -m orchestrator.NAME; --help tells its flags", "", *lines]))  # noqa: T201
    return Exit.FINISHED


def commands() -> dict[str, str]:
    """What each command does, by its name: the first line of its docstring, read without importing it."""
    folder, found = Path(__file__).parent, {}
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/__main__.py")]):
        text = path.read_text(encoding="utf-8")
        if IS_COMMAND in text and path != Path(__file__):
            told = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
            name = path.parent.name if path.name == "__main__.py" else path.stem
            found[name] = re.sub(r": `python -m [^`]*`", "", told)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    sys.exit(run_command(main))
