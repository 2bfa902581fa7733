import torch

from tests.benchmarks import gpu_shadows
from tests.benchmarks.gpu_shadows import Report


def test_every_row_that_needs_no_gpu_runs(capsys):
    gpu_shadows.main(["--tiny", "--device", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    measured = [line.split("  ")[0] for line in lines if "images/s" in line]
    assert measured == [
        "peers",
        "resident, augmented on the device",
        "+ bf16, channels-last",
        "1 stacked (grouped convolution)",
        "2 stacked (grouped convolution)",
    ]
    assert sum("left out: needs CUDA" in line for line in lines) == 6
    assert len(lines) == len(measured) + 6 + 1
    assert lines[-1].startswith("fastest: ")


def test_a_row_that_fails_says_why_and_the_next_is_measured(capsys):
    def broken():
        raise RuntimeError("no engine to execute\nthis computation")

    report = Report(1.0, torch.device("cpu"), steps=2)
    report.row("first", 4, broken)
    report.row("second", 4, lambda: lambda: None)
    report.close()
    first, second, last = capsys.readouterr().out.splitlines()
    assert "failed: RuntimeError: 'no engine to execute\\nthis" in first
    assert second.startswith("second ")
    assert last.startswith("fastest: second, ")
