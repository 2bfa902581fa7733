"""Run the tests of a file in a process of their own, and report each as if it had run here.

For tests that change their process for good (`tests.support.simulated_device`). The conftest of their folder:

    from tests.support.own_process import run_apart

    def pytest_runtest_protocol(item):
        return run_apart(item) if item.path.is_relative_to(Path(__file__).parent) else None
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

Reports = dict[str, list[pytest.TestReport]]
_REPORTS = pytest.StashKey[dict[Path, Reports]]()
"""Of the files that have run, by test."""


def run_apart(item: pytest.Item) -> bool | None:
    """Report a test that ran in another process, with all that are selected of its file; None within that process."""
    if item.config.getoption("write_reports", default=None):
        return None
    done = item.config.stash.setdefault(_REPORTS, {})
    if item.path not in done:
        done[item.path] = _run([i.nodeid for i in item.session.items if i.path == item.path], item.config)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in done[item.path][item.nodeid]:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _run(tests: list[str], config: pytest.Config) -> Reports:
    with tempfile.NamedTemporaryFile("r+") as file:
        options = [
            "-n",
            "0",
            "-m",
            "",
            "-p",
            "no:cacheprovider",
            "-p",
            __name__,
            "--write-reports",
            file.name,
        ]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        done = subprocess.run(command, cwd=config.rootpath, capture_output=True, text=True, check=False)
        found: Reports = {test: [] for test in tests}
        for line in file:
            report = config.hook.pytest_report_from_serializable(config=config, data=json.loads(line))
            found[report.nodeid].append(report)
    for test, reports in found.items():
        if not any(report.when == "teardown" for report in reports):
            told = (
                f"its process ended with code {done.returncode} in or before it\n{done.stdout}\n{done.stderr}"
            )
            reports.append(pytest.TestReport(test, ("", None, test), {}, "failed", told, "call"))
    return found


# -- in the process apart, which takes this module as a plug-in ------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the reports go."""
    parser.addoption("--write-reports", type=Path)


def pytest_configure(config: pytest.Config) -> None:
    """Write a line for each report of the tests to come."""
    config.pluginmanager.register(_Writer(config))


class _Writer:
    """Set up, call and tear down of each test, as JSON."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._file = config.getoption("write_reports").open("w")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Flushed at once: the next test may end the process."""
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._file.write(json.dumps(data) + "\n")
        self._file.flush()
