import re
import sys
from dataclasses import dataclass

import pytest

from tasks import registry as registry_module
from tasks.errors import AuditError, UnknownName
from tasks.registry import Registry, import_plugins, parse_text
from tasks.unlearn.base import Method, methods

MODULE = """
from dataclasses import dataclass
from {package}.base import Thing as Base, things

@things.register("{name}")
@dataclass(frozen=True, kw_only=True)
class Thing(Base):
    size: int = 1
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `shelf` with a registry in `base`, one entry, and a module that must not be imported."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "base.py").write_text(
        "from tasks.registry import Registry\n"
        "class Thing: pass\n"
        "things = Registry('thing', contract=Thing, package='shelf', group='lethe.things', skip=('heavy',))\n"
    )
    (folder / "one.py").write_text(MODULE.format(package="shelf", name="one"))
    (folder / "heavy.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] in ("shelf", "plug")]:
        del sys.modules[name]


def things():
    from shelf.base import things as made

    return made


def test_built_in_entries_are_found_without_an_import(package):
    assert things().names() == ["one"]
    assert things().build("one", {"size": 4}, where="things.one").size == 4


def test_unknown_entries_and_keys_name_the_nearest(package):
    with pytest.raises(UnknownName, match=re.escape("axes.thing: no thing 'onee'. Did you mean 'one'?")):
        things().get("onee", where="axes.thing")
    with pytest.raises(UnknownName, match=re.escape("things.one: no key 'sise'. Did you mean 'size'?")):
        things().build("one", {"sise": 4}, where="things.one")


def test_duplicate_names_tell_the_first_owner(package):
    first = things().get("one")
    with pytest.raises(AuditError, match=re.escape("thing 'one' is already defined by shelf.one.Thing")):

        @things().register("one")
        @dataclass(frozen=True)
        class Other(things().contract):
            pass

    assert things().get("one") is first
    assert things().register("one")(first) is first


@pytest.mark.parametrize("decorate", [lambda cls: cls, dataclass])
def test_entries_must_be_frozen_dataclasses(decorate):
    class Plain:
        pass

    with pytest.raises(AuditError, match="thing 'plain' must be a frozen dataclass"):
        Registry("thing", contract=Plain, package="tasks.attacks", group="x").register("plain")(
            decorate(Plain)
        )


def test_what_does_not_inherit_the_contract_is_refused_with_file_and_remedy(package):
    @dataclass(frozen=True)
    class Stranger:
        pass

    told = f"thing 'stranger': expected a subclass of shelf.base.Thing, got {Stranger.__qualname__} of {__file__}; "
    with pytest.raises(AuditError, match=re.escape(f"{told}write class Stranger(Thing)")):
        things().register("stranger")(Stranger)


def test_what_lacks_a_method_of_the_contract_is_refused_by_its_name():
    @dataclass(frozen=True)
    class Idle(Method):
        pass

    with pytest.raises(
        AuditError, match=r"'idle': .*Idle of .*test_registry.py does not define __call__; see tasks"
    ):
        methods.register("idle")(Idle)


def test_a_failed_load_fails_again(package):
    (package / "broken.py").write_text("raise RuntimeError('broken entry')\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken entry"):
            things().names()


def test_entry_points_are_loaded(package, monkeypatch):
    class Entry:
        def load(self):
            @things().register("installed")
            @dataclass(frozen=True)
            class Installed(things().contract):
                pass

    monkeypatch.setattr(
        registry_module, "entry_points", lambda group: [Entry()] if group == "lethe.things" else []
    )
    assert things().names() == ["installed", "one"]


def test_plugins_add_entries_and_their_failures_are_user_errors(package):
    (package.parent / "plug.py").write_text(MODULE.format(package="shelf", name="two"))
    import_plugins(("plug",))
    assert things().names() == ["one", "two"]
    with pytest.raises(AuditError, match="plugins: cannot import 'plug_absent': ModuleNotFoundError"):
        import_plugins(("plug_absent",))


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("pgd", "pgd", {}),
        ("pgd:", "pgd", {}),
        ("pgd:steps=20", "pgd", {"steps": 20}),
        ("pgd:steps=20, lr=1e-3", "pgd", {"steps": 20, "lr": 0.001}),
        ("pgd:eps=0.1;0.2", "pgd", {"eps": [0.1, 0.2]}),
        ("pgd:eps=0.1;", "pgd", {"eps": [0.1]}),
        ("m:on=true,off=False", "m", {"on": True, "off": False}),
        ("file:path=data/ids.csv", "file", {"path": "data/ids.csv"}),
        ("file:path=s3://bucket/ids.csv", "file", {"path": "s3://bucket/ids.csv"}),
        ("m:names=a;b", "m", {"names": ["a", "b"]}),
        ("m:x=-3,y=(1)", "m", {"x": -3, "y": 1}),
        ("m:x='quoted'", "m", {"x": "quoted"}),
        ("m:x={}", "m", {"x": "{}"}),
    ],
)
def test_text_names_an_entry_and_its_parameters(text, name, values):
    parsed = parse_text(text, where="axes.attack")
    assert parsed == (name, values)
    assert [type(v) for v in parsed[1].values()] == [type(v) for v in values.values()]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("17", "17"),
        ("1e3", "1e3"),
        ("True", "True"),
        ("a;b", "a;b"),
        ("'17'", "17"),
        (" x=y ", "x=y"),
        ("", ""),
    ],
)
def test_a_parameter_that_takes_text_is_text_whatever_it_looks_like(value, expected):
    parsed = parse_text(f"group:name={value},count=17", where="axes.forget_set", texts={"name"})
    assert parsed == ("group", {"name": expected, "count": 17})


def test_text_without_an_equals_sign_is_refused():
    with pytest.raises(
        AuditError, match=re.escape("axes.attack: 'pgd:20': expected key=value after 'pgd:', got '20'")
    ):
        parse_text("pgd:20", where="axes.attack")
