"""What a line of Python may become: plausible slips, each inside of one line.

Nothing is made of what no number can hang on, or a type checker sees: annotations, decorators, imports, asserts, texts,
what stands in f-strings (whose places Python 3.11 does not know), arguments that only describe.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutants.mutant import Edit

COMPARED: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">="),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<="),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
COMPUTED: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
CALLED = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "floor": "ceil",
    "ceil": "floor",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "mean": "sum",
    "sum": "max",
    "log": "sqrt",
    "exp": "abs",
    "union": "intersection",
    "startswith": "endswith",
    "sorted": "list",
    "abs": "",
    "reversed": "",
}
DESCRIPTIVE = {
    "strict",
    "help",
    "description",
    "metavar",
    "prog",
    "daemon",
    "encoding",
    "stacklevel",
    "reason",
}
"""Keywords on which no result hangs, or that only guard."""
SKIPPED = (ast.Import, ast.ImportFrom, ast.Assert, ast.JoinedStr, ast.Global, ast.Nonlocal)


def edits(source: str) -> list[Edit]:
    """Every change that some line of a module may undergo, in the order of its lines."""
    found = set(_Walk(source).block(ast.parse(source).body))
    return sorted(found, key=lambda edit: (edit.line, edit.start, edit.end, edit.new))


class _Walk:
    """Goes through a module with its text at hand."""

    def __init__(self, source: str) -> None:
        self.lines = source.split("\n")
        self.span = (0, 0)

    def block(self, statements: list[ast.stmt]) -> Iterator[Edit]:
        for statement in statements:
            yield from self.statement(statement)

    def statement(self, node: ast.stmt) -> Iterator[Edit]:
        if isinstance(node, SKIPPED) or _guard(node):
            return
        inner = [block for name in ("body", "orelse", "finalbody") if (block := getattr(node, name, None))]
        handlers = getattr(node, "handlers", getattr(node, "cases", []))
        last = min((block[0].lineno for block in inner), default=(node.end_lineno or node.lineno) + 1) - 1
        self.span = (node.lineno, max(node.lineno, last))
        yield from self.whole(node)
        for child in _expressions(node):
            yield from self.expression(child)
        for block in (*inner, *(handler.body for handler in handlers)):
            yield from self.block(block)

    def whole(self, node: ast.stmt) -> Iterator[Edit]:
        """What becomes of a statement as such."""
        match node:
            case ast.Return(value=ast.expr() as value) if not _constant(value, None):
                yield from self.replaced(value, "None")
            case ast.Raise() | ast.AugAssign() | ast.Delete() | ast.Expr(value=ast.Call()):
                yield from self.replaced(node, "pass")
            case ast.If(test=test) | ast.While(test=test) if not isinstance(test, (ast.Compare, ast.UnaryOp)):
                yield from self.replaced(test, f"not ({self.text(test)})")
            case ast.Break():
                yield from self.replaced(node, "continue")
            case ast.Continue():
                yield from self.replaced(node, "break")
            case _:
                return

    def expression(self, node: ast.AST) -> Iterator[Edit]:
        if isinstance(node, SKIPPED):
            return
        match node:
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                for other in COMPARED[type(operator)]:
                    yield from self.between(left, right, other)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in COMPUTED:
                if not (_text(left) or _text(right)):
                    yield from self.between(left, right, COMPUTED[type(operator)])
            case ast.BoolOp(op=operator, values=[first, second, *_]):
                yield from self.between(first, second, "or" if isinstance(operator, ast.And) else "and")
                for kept in (first, second) if len(node.values) == 2 else ():
                    yield from self.replaced(node, self.text(kept))
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
                yield from self.replaced(node, self.text(operand))
            case ast.Constant(value=bool() as value):
                yield from self.replaced(node, str(not value))
            case ast.Constant(value=int() | float() as value):
                yield from self.replaced(node, "1" if value == 0 else f"({self.text(node)} + 1)")
            case ast.IfExp(body=body, orelse=orelse):
                yield from self.replaced(node, self.text(body))
                yield from self.replaced(node, self.text(orelse))
            case ast.Subscript(slice=ast.Slice() as part) if self.text(part) not in ("", ":"):
                yield from self.replaced(part, ":")
            case ast.comprehension(ifs=[condition]):
                yield from self.replaced(condition, "True")
            case ast.Call():
                yield from self.call(node)
            case _:
                pass
        for child in _expressions(node):
            yield from self.expression(child)

    def call(self, node: ast.Call) -> Iterator[Edit]:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in CALLED and node.func.lineno == node.func.end_lineno:
            edit = self.replaced(node.func, self.text(node.func).removesuffix(name) + CALLED[name])
            yield from edit if CALLED[name] or isinstance(node.func, ast.Name) else ()
        for one, other in zip(node.args, node.args[1:], strict=False):
            if _named(one) and _named(other) and _one_line(one, other) and self.text(one) != self.text(other):
                yield from self.swapped(one, other)
        for keyword in node.keywords:
            described = keyword.arg in DESCRIPTIVE or (
                isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
            )
            if keyword.arg and not described and _one_line(keyword, keyword):
                yield from self.dropped(keyword)

    def dropped(self, keyword: ast.keyword) -> Iterator[Edit]:
        """A keyword with the comma before it, on its own line also with the one behind it."""
        line = self.lines[keyword.lineno - 1]
        start, end = self.columns(keyword)
        before, after = line[:start].rstrip(), line[end:].lstrip()
        if before.endswith(","):
            yield Edit(keyword.lineno, len(before) - 1, end, "", *self.span)
        elif before.endswith("(") and after.startswith(")"):
            yield Edit(keyword.lineno, start, end, "", *self.span)
        elif not before and after.startswith(","):
            yield Edit(keyword.lineno, start, end + 1, "", *self.span)

    def text(self, node: ast.AST) -> str:
        start, end = self.columns(node)
        return self.lines[node.lineno - 1][start:end] if _one_line(node, node) else ""  # type: ignore[attr-defined]

    def columns(self, node: ast.AST) -> tuple[int, int]:
        """Characters at which a node begins and ends; `ast` counts bytes."""
        begins = self.lines[node.lineno - 1].encode()[: node.col_offset]  # type: ignore[attr-defined]
        ends = self.lines[node.end_lineno - 1].encode()[: node.end_col_offset]  # type: ignore[attr-defined]
        return len(begins.decode()), len(ends.decode())

    def replaced(self, node: ast.AST, new: str) -> Iterator[Edit]:
        if new and _one_line(node, node):
            yield Edit(node.lineno, *self.columns(node), new, *self.span)  # type: ignore[attr-defined]

    def between(self, left: ast.expr, right: ast.expr, operator: str) -> Iterator[Edit]:
        """Another operator between two operands; brackets around them stay."""
        if left.end_lineno != right.lineno:
            return
        start, end = self.columns(left)[1], self.columns(right)[0]
        text = self.lines[right.lineno - 1][start:end]
        if core := text.strip(" ()"):
            place = start + text.index(core)
            yield Edit(right.lineno, place, place + len(core), operator, *self.span)

    def swapped(self, one: ast.expr, other: ast.expr) -> Iterator[Edit]:
        """Two neighbours on one line in the other order."""
        start, end = self.columns(one)[0], self.columns(other)[1]
        yield Edit(one.lineno, start, end, f"{self.text(other)}, {self.text(one)}", *self.span)


def _expressions(node: ast.AST) -> Iterator[ast.AST]:
    """What hangs below a node without being a statement, an annotation or a decorator."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "ctx", "bases", "type_params"):
            continue
        if isinstance(node, ast.Raise) or (isinstance(node, ast.keyword) and node.arg in DESCRIPTIVE):
            return
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(
                child, (ast.stmt, ast.excepthandler, ast.match_case)
            ):
                yield child


def _one_line(one: ast.AST, other: ast.AST) -> bool:
    return bool(one.lineno == one.end_lineno == other.lineno == other.end_lineno)  # type: ignore[attr-defined]


def _named(node: ast.expr) -> bool:
    """Whether an argument is one that could be mistaken for its neighbour."""
    return isinstance(node, (ast.Name, ast.Attribute))


def _constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _text(node: ast.expr) -> bool:
    """Whether an operand shows that no numbers are computed: a text, a path, a type."""
    return isinstance(node, (ast.JoinedStr, ast.List, ast.Tuple)) or (
        isinstance(node, ast.Constant) and not isinstance(node.value, (int, float))
    )


def _guard(node: ast.stmt) -> bool:
    """`if TYPE_CHECKING` and `if __name__ == "__main__"`."""
    return isinstance(node, ast.If) and any(
        isinstance(part, ast.Name) and part.id in ("TYPE_CHECKING", "__name__")
        for part in ast.walk(node.test)
    )
