from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from tasks import fields
from tasks.errors import AuditError, Diverged, UnknownName


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5
    """A rate,
    over two lines."""


@dataclass(frozen=True, kw_only=True)
class Config:
    count: int
    """How many."""
    name: str = "a"
    on: bool = False
    """Switch."""
    kind: Literal["x", "y"] = "x"
    eps: tuple[float, ...] = ()
    shape: tuple[int, int] = (1, 2)
    limit: float | None = None
    choice: int | str = 0
    inner: Inner = field(default_factory=Inner)
    table: dict[str, Inner] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    unchecked: int = field(default=3, init=False)

    def __post_init__(self):
        if self.count < 0:
            raise AuditError(f"count: expected 0 or more, got {self.count}")
        if self.count == 99:
            raise Diverged("too far")


def make(**values):
    return fields.build(Config, {"count": 1, **values}, where="audit")


def test_plain_data_becomes_the_declared_types():
    made = make(
        eps=[1, 0.5], shape=[3, 4], limit=2, choice="b", inner={"rate": 1}, table={"t": {"rate": 2}},
        options={"depth": [1, 2], "x": None},
    )  # fmt: skip
    assert made.eps == (1.0, 0.5)
    assert isinstance(made.eps[0], float)
    assert made.shape == (3, 4)
    assert made.limit == 2.0
    assert isinstance(made.limit, float)
    assert made.choice == "b"
    assert made.inner == Inner(rate=1.0)
    assert made.table == {"t": Inner(rate=2.0)}
    assert made.options == {"depth": [1, 2], "x": None}


def test_defaults_hold():
    assert make() == Config(count=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"coutn": 1}, "audit: no key 'coutn'. Did you mean 'count'?"),
        ({"unchecked": 1}, "audit: no key 'unchecked'"),
        ({"count": "1"}, "audit.count: expected int, got '1'"),
        ({"count": True}, "audit.count: expected int, got True"),
        ({"count": 1.0}, "audit.count: expected int, got 1.0"),
        ({"name": 3}, "audit.name: expected str, got 3"),
        ({"on": 1}, "audit.on: expected bool, got 1"),
        ({"kind": "z"}, "audit.kind: no value 'z'"),
        ({"eps": 0.1}, "audit.eps: expected a list of float, got 0.1"),
        ({"eps": "abc"}, "audit.eps: expected a list of float, got 'abc'"),
        ({"eps": [0.1, "a"]}, r"audit.eps[1]: expected float, got 'a'"),
        ({"eps": [float("nan")]}, "audit.eps[0]: expected a finite number, got nan"),
        ({"count": 2**63}, "audit.count: expected a whole number below 2^63, got one of 19 digits"),
        ({"count": -(10**29)}, "audit.count: expected a whole number below 2^63, got one of 30 digits"),
        ({"limit": 10**9000}, "audit.limit: expected a whole number below 2^63, got one of 9001 digits"),
        ({"shape": [1, 2, 3]}, "audit.shape: expected a list of 2 int, got [1, 2, 3]"),
        ({"limit": "x"}, "audit.limit: expected float, got 'x'"),
        ({"limit": float("inf")}, "audit.limit: expected a finite number"),
        ({"inner": {"rat": 1}}, "audit.inner: no key 'rat'. Did you mean 'rate'?"),
        ({"inner": 3}, "audit.inner: expected a table, got 3"),
        ({"table": {"t": {"rate": "x"}}}, "audit.table.t.rate: expected float, got 'x'"),
        ({"table": [1]}, "audit.table: expected a table, got [1]"),
        ({"options": 3}, "audit.options: expected a table, got 3"),
        ({"count": -1}, "audit: count: expected 0 or more, got -1"),
    ],
)
def test_bad_values_name_the_key(values, message):
    with pytest.raises(AuditError) as caught:
        make(**values)
    assert message in str(caught.value)


def test_kinds_of_error_are_kept():
    with pytest.raises(UnknownName):
        make(coutn=1)
    with pytest.raises(Diverged, match="audit: too far"):
        make(count=99)


def test_a_missing_key_names_its_type():
    with pytest.raises(AuditError, match=r"audit: missing key 'count' \(int\)"):
        fields.build(Config, {}, where="audit")


def test_the_root_has_no_prefix():
    with pytest.raises(AuditError, match=r"^count: expected int, got 'a'"):
        fields.build(Config, {"count": "a"}, where="")
    with pytest.raises(AuditError, match=r"^missing key 'count'"):
        fields.build(Config, {}, where="")


def test_plain_data_survives_the_round_trip():
    made = make(eps=[0.5], table={"t": {}}, limit=1.5, choice="z")
    plain = fields.to_plain(made)
    assert plain["eps"] == [0.5]
    assert plain["table"] == {"t": {"rate": 0.5}}
    plain.pop("unchecked")
    assert fields.build(Config, plain, where="") == made


@dataclass(frozen=True, kw_only=True)
class Derived(Inner):
    more: int = 1
    """Of the derived class."""


def test_docs_stand_under_their_fields():
    assert fields.field_docs(Config) == {"count": "How many.", "on": "Switch."}
    assert fields.field_docs(Derived) == {"rate": "A rate, over two lines.", "more": "Of the derived class."}


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (float | None, "float or none"),
        (tuple[float, ...], "a list of float"),
        (tuple[int, int], "a list of 2 int"),
        (Literal["a", "b"], "one of a, b"),
        (dict[str, int], "a table"),
        (Inner, "a table"),
    ],
)
def test_type_names(annotation, text):
    assert fields.type_name(annotation) == text
