"""Settings of all tests."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import made_once

# A wall-clock limit for each example fails where other work has the processors for a moment.
settings.register_profile("lethe", deadline=None)
settings.load_profile("lethe")

# Two processes test at once; set before the first import of torch, and for every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Ray reads it when it is imported, which some test files do before the first session on it begins in this process.
os.environ.setdefault("RAY_AUTH_MODE", "token")

# Programs started under nohup ignore the signal of a closing terminal, those started in the background of a script that
# of Ctrl-C, which some tests send. What Python handles, if by doing nothing, does not pass to the programs it starts.
for number, handled in (
    (signal.SIGHUP, lambda number, frame: None),
    (signal.SIGINT, signal.default_int_handler),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handled)

NEEDED = ("bash", "cp", "git", "nohup", "sh", "sleep", "touch")
"""Programs that tests may start, beside those of the environment: the shell, git and coreutils."""
OPTIONAL = ("ip", "mount", "umount", "unshare")
"""Programs that tests may start too: they skip, and say why, where these are missing."""


LONGEST = ("tests/test_readme.py", "tests/test_results_run_no_code.py")
"""Files that begin first: begun last, one process would test for a minute after the other has nothing left to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the order of all other files."""
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def made_for_all(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Results that take long to make are made by one of the processes of a session, for all."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(pytestconfig, "workerinput"):  # the folder of a worker of xdist lies in that of its session
        folder = folder.parent
    (folder / "made-once").mkdir(exist_ok=True)
    made_once.share(folder / "made-once")


@pytest.fixture(scope="session", autouse=True)
def programs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path | None]:
    """Hide every other program of the machine, from the processes that tests start as well.

    Yields the folder on the PATH that stands for the machine; None where slow tests run, which may need more.
    """
    if any(item.get_closest_marker("slow") for item in request.session.items):
        yield None
        return
    folder = tmp_path_factory.mktemp("programs")
    for name in (*NEEDED, *OPTIONAL):
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{folder}")
        yield folder
