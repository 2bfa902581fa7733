"""A method reads the retain and the validation set where it says so, and nowhere else."""

import subprocess
import sys
from typing import Any

import pytest

from tasks.unlearn.base import methods
from tasks.unlearn.run import unlearn
from tests.support.tiny_unlearning import tiny_run

SHORT: dict[str, dict[str, Any]] = {
    "bad_teacher": {"epochs": 1},
    "boundary_shrink": {"epochs": 1},
    "finetune": {"epochs": 1},
    "gradient_ascent": {"epochs": 1},
    "neggrad_plus": {"epochs": 1},
    "no_op": {},
    "scrub": {"epochs": 1, "max_epochs": 1},
    "scrub_r": {"epochs": 1, "max_epochs": 1},
    "ssd": {},
    "twin": {"epochs": 1, "twin_epochs": 1, "curriculum_epochs": 1, "classifier_epochs": 1},
}


class Watched:
    """A selection that notes whether it was looked at."""

    def __init__(self, subset: Any) -> None:
        self.__dict__["held"], self.__dict__["read"] = subset, False

    def __getattr__(self, name: str) -> Any:
        self.__dict__["read"] = True
        return getattr(self.held, name)

    def __len__(self) -> int:
        self.__dict__["read"] = True
        return len(self.held)


@pytest.mark.parametrize("name", SHORT)
def test_what_a_method_reads_is_what_it_declares(name: str) -> None:
    method, run = methods.get(name)(**SHORT[name]), tiny_run()
    run.retain, run.validation = watched = Watched(run.retain), Watched(run.validation)
    unlearn(method, run)
    assert [subset.read for subset in watched] == [method.needs_retain, method.needs_validation]


def test_declaring_methods_imports_no_torch() -> None:
    code = (
        "import sys; from tasks.unlearn.base import methods; methods.names();"
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
