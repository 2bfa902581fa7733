"""What the code of a plug-in is known by: the content of every module of the user's that it reaches by static import.

A module is reached from the one that defines the class, by `import` statements wherever they stand (in functions too,
but not under `if TYPE_CHECKING`), and so on from module to module. Of what is reached
* Lethe and the standard library count nothing (Lethe's classes carry a `version`);
* installed distributions count with name and version, without the label of a build ("+cu121");
* everything else, editable installs included, counts with the bytes of its source, under the name that it is imported
  by: where the folder lies does not matter. The package above a module counts with its own bytes, and what it imports
  only where the package itself is imported, or a name of it.

A class of a notebook, which has no file, counts with its own source. What is not seen: modules that are imported by a
computed name, data files, and other cells of a notebook; whoever changes these raises the `version` of the class.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FunctionType

from orchestrator.config.settings import digest
from tasks.errors import AuditError

LETHE = ("orchestrator", "tasks")
Defined = type | FunctionType
"""What a plug-in is defined by: a registered class, or the function that builds an architecture."""


def plugin_name(defined: Defined) -> str:
    """The module of a plug-in, with its class where that is a notebook; empty for what Lethe or timm define."""
    if defined.__module__.partition(".")[0] in (*LETHE, "timm"):
        return ""
    return defined.__module__ if _file_of(defined) else f"{defined.__module__}.{defined.__qualname__}"


def architecture_builder(name: str) -> FunctionType | None:
    """The function that timm's registry holds for an architecture; None where it has none, or was not imported yet.

    An architecture that is not timm's has the empty name.

    Planning does without timm, whose import takes seconds: before it is imported nobody can have registered anything.
    """
    if not name or "timm" not in sys.modules:
        return None
    from timm.models import is_model, model_entrypoint

    known = name.partition(".")[0]  # behind the dot stands a tag of weights
    builder = model_entrypoint(known) if is_model(known) else None
    return builder if isinstance(builder, FunctionType) else None


def plugin_digest(defined: Defined) -> str:
    """Digest of what a plug-in's numbers rest on; empty for what Lethe or timm define.

    Raises:
        AuditError: its source cannot be read, or is no longer what this process has imported.
    """
    if not plugin_name(defined):
        return ""
    file = _file_of(defined)
    if not file:
        return digest({"source": _source_of(defined)})
    reached = _Reached(plugin_name(defined))
    reached.add(defined.__module__, Path(file), package=_package_of(defined.__module__))
    return digest({"sources": reached.sources, "distributions": reached.distributions})


def _file_of(defined: Defined) -> str:
    return str(getattr(sys.modules.get(defined.__module__), "__file__", None) or "")


def _package_of(module: str) -> str:
    return str(getattr(sys.modules[module], "__package__", None) or "")


def _source_of(defined: Defined) -> str:
    try:
        return inspect.getsource(defined)
    except (OSError, TypeError):
        raise AuditError(
            f"plug-in {plugin_name(defined)}: expected a class whose source can be read, so that an edited one is "
            "computed again; write it into a module (in a notebook: %%writefile my_plugin.py) and name that in plugins"
        ) from None


class _Reached:
    """Modules as they are found, each once.

    Args:
        plugin: name of the plug-in, for messages.
    """

    def __init__(self, plugin: str) -> None:
        self.sources: dict[str, str] = {}
        """Name -> SHA-256 of the source; "absent" where an import finds nothing."""
        self.distributions: dict[str, str] = {}
        self._plugin = plugin
        self._followed: set[str] = set()

    def add(self, name: str, file: Path, *, package: str) -> None:
        """Count a module by its file, and follow what it imports."""
        self._followed.add(name)
        installed = _installed(name, file)
        if installed:
            self.distributions |= installed
            return
        content = self._content(name, file)
        self._add_parents(name)
        for module, attribute in imports_of(content, package) if file.suffix == ".py" else ():
            inside = f"{module}.{attribute}"
            if attribute and _find(inside) is not None:
                self._follow(inside)
            else:
                self._follow(module)

    def _follow(self, name: str) -> None:
        if name in self._followed or _counts_nothing(name):
            return
        spec = _find(name)
        if spec is None:
            self.sources[name] = "absent"
        elif spec.has_location and spec.origin:
            self.add(name, Path(spec.origin), package=spec.parent or "")
        else:
            self._add_parents(name)

    def _add_parents(self, name: str) -> None:
        parent = name.rpartition(".")[0]
        while parent and parent not in self.sources:
            spec = _find(parent)
            if spec is not None and spec.has_location and spec.origin:
                self._content(parent, Path(spec.origin))
            parent = parent.rpartition(".")[0]

    def _content(self, name: str, file: Path) -> bytes:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise AuditError(f"plug-in {self._plugin}: cannot read {file}: {error.strerror}") from None
        self.sources[name] = hashlib.sha256(content).hexdigest()
        self._check_current(name, self.sources[name])
        return content

    def _check_current(self, name: str, found: str) -> None:
        """Refuse a module that was edited since this process imported it: what runs is not what is written."""
        loaded = sys.modules.get(name)
        spec = getattr(loaded, "__spec__", None)
        if spec is None:
            return
        seen, content = _SEEN.setdefault(name, (spec, found))
        if seen is not spec:  # imported anew
            _SEEN[name] = spec, found
        elif content != found:
            raise AuditError(
                f"plug-in {self._plugin}: module {name} was edited after this process had imported it; start a new "
                "process (in a notebook: restart the kernel)"
            )


_SEEN: dict[str, tuple[ModuleSpec, str]] = {}
"""What each module held when it was first looked at."""


def imports_of(content: bytes, package: str) -> Iterator[tuple[str, str]]:
    """Every import of a source: the module, and the name that is taken from it (empty where it is the module itself).

    Args:
        content: the source.
        package: that relative imports start from.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # never imported, or it would have been found out
        return
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
                if not alias.asname:  # binds the package above
                    yield alias.name.partition(".")[0], ""
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = importlib.util.resolve_name("." * node.level + module, package)
            for alias in node.names:
                yield module, "" if alias.name == "*" else alias.name


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one, without what is there for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _for_type_checkers(child.test):
            for other in child.orelse:
                yield other
                yield from _executed(other)
        else:
            yield child
            yield from _executed(child)


def _for_type_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _counts_nothing(name: str) -> bool:
    top = name.partition(".")[0]
    return top in LETHE or top in sys.stdlib_module_names


def _find(name: str) -> ModuleSpec | None:
    """Where a module is, without importing it or the packages above it."""
    if _counts_nothing(name):
        return None
    spec: ModuleSpec | None = getattr(sys.modules.get(name), "__spec__", None)
    if spec is not None:
        return spec
    above, _, _ = name.rpartition(".")
    if not above:
        return None if name in sys.modules else importlib.util.find_spec(name)
    return PathFinder.find_spec(name, _folders(above))


def _folders(package: str) -> list[str]:
    """Where the modules of a package are looked for; nowhere for what is no package."""
    spec = _find(package)
    if spec is None or spec.submodule_search_locations is None:
        return []
    above, _, last = package.rpartition(".")
    if spec.has_location or not above:
        return list(spec.submodule_search_locations)
    # A folder without __init__.py: its own list asks for the imported package above, which need not be there.
    return [
        inside
        for inside in (os.path.join(folder, last) for folder in _folders(above))
        if os.path.isdir(inside)
    ]


def _installed(name: str, file: Path) -> dict[str, str]:
    """The distributions that a file in site-packages belongs to, and their versions; empty for any other file."""
    path = os.path.realpath(file)
    if not any(path.startswith(folder + os.sep) for folder in _site_packages()):
        return {}
    return _distributions(name.partition(".")[0])


@functools.cache
def _site_packages() -> tuple[str, ...]:
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(dict.fromkeys(map(os.path.realpath, folders)))


@functools.cache
def _distributions(top: str) -> dict[str, str]:
    try:  # most are called like their module, and a list of all takes a second
        names = [metadata.distribution(top).metadata["Name"]]
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(top, [])
    return {name: metadata.version(name).partition("+")[0] for name in names}
