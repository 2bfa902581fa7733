"""Which backend a name stands for, and what is loaded for it."""

import subprocess
import sys

import pytest

from orchestrator.backends.choose import make_backend
from orchestrator.backends.inline import InlineBackend
from tasks.errors import AuditError


def test_inline_needs_neither_ray_nor_torch():
    program = (
        "import sys\n"
        "from orchestrator.backends.choose import make_backend\n"
        "make_backend('inline')\n"
        "print(sorted({'torch', 'ray'} & set(sys.modules)))\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert shown.stdout == "[]\n", shown.stderr
    assert isinstance(make_backend("inline"), InlineBackend)


def test_a_machine_without_ray_is_told_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "orchestrator.backends.on_ray.backend", None)
    with pytest.raises(AuditError, match=r"backend local: Ray cannot be imported .*; use --backend inline"):
        make_backend("local")
