"""Files of the user that hide a module of Python, or a package that Lethe needs, by having its name.

`python -m` looks for modules in the current directory first. It imports nothing that could be hidden itself.
"""

from __future__ import annotations

import os
import sys

PACKAGES = (
    *("PIL", "accelerate", "duckdb", "jinja2", "numpy", "pyarrow", "ray", "rich", "safetensors", "scipy"),
    *("sklearn", "timm", "torch", "torchattacks", "vl_convert"),
)
"""What Lethe needs and what is no single file where it is installed."""
REMEDY = "rename it, or run from another directory"


def hiding_package(folder: str) -> str:
    """What a file in a folder hides, in a sentence that says what to do; empty: it hides nothing."""
    for name in PACKAGES:
        file = os.path.join(os.path.abspath(folder), f"{name}.py")
        if os.path.isfile(file):
            return f"{file} hides the package '{name}', which Lethe needs; {REMEDY}"
    return ""


def hiding_module() -> str:
    """The same of what was imported in place of a module of Python, from a place that is looked at before its own."""
    own = os.path.dirname(os.__file__)
    before = sys.path[: sys.path.index(own)] if own in sys.path else []
    places = {os.path.realpath(place) for place in before}
    for name in sys.stdlib_module_names & sys.modules.keys():
        file = getattr(sys.modules[name], "__file__", None) or ""
        folder = os.path.dirname(os.path.realpath(file))
        if os.path.basename(file) == "__init__.py":
            folder = os.path.dirname(folder)
        if file and folder in places:
            return f"{file} hides Python's module '{name}'; {REMEDY}"
    return ""


def say_what_hides() -> None:
    """From now on an error that ends this process is one line and exit code 2 where a module of Python is hidden."""

    def hook(kind: type[BaseException], error: BaseException, trace: object) -> None:
        told = hiding_module()
        if not told:
            sys.__excepthook__(kind, error, trace)  # type: ignore[arg-type]
            return
        sys.stderr.write(f"error: {told}\n")
        sys.stderr.flush()
        os._exit(2)

    sys.excepthook = hook
