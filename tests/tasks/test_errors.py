import pytest

from tasks.errors import AuditError, Diverged, UnknownName, unknown_name


def test_a_misspelt_name_gets_the_nearest_and_the_list():
    error = unknown_name("attack", "pgdd", ["pgd", "fgsm"], where="axes.attack")
    assert str(error) == "axes.attack: no attack 'pgdd'. Did you mean 'pgd'? Valid: fgsm, pgd"


def test_a_name_like_no_other_gets_the_list_alone():
    assert str(unknown_name("attack", "zzzz", ["pgd"])) == "no attack 'zzzz'. Valid: pgd"
    assert str(unknown_name("attack", "zzzz", [])) == "no attack 'zzzz'. Valid: none"
    error = unknown_name("measure", "zzzz", ["class gap, test", "accuracy, test"])
    assert str(error) == "no measure 'zzzz'. Valid: accuracy, test; class gap, test"


def test_messages_are_one_line_and_unquoted():
    with pytest.raises(LookupError) as caught:
        raise unknown_name("key", "a", ["b"])
    assert "\n" not in str(caught.value)
    assert not str(caught.value).startswith("'")
    assert issubclass(UnknownName, AuditError)
    assert issubclass(Diverged, AuditError)
