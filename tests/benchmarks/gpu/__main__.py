"""What only a card can settle, in ten minutes, with torch, timm and `tasks/` alone.

    python -m tests.benchmarks.gpu [--seconds 540] [--format markdown] [--json FILE]
    python -m tests.benchmarks.gpu --tiny --device cpu       # does every row run? No measurement

ResNet-18 of CIFAR shape, a small ViT, a small GPT: how fast they train as Lethe trains them, with CUDA graphs of whole
steps, compiled, several at once; how much of the card that is; what a step asks of host and device; what determinism
costs; how exact scores are by precision; how long attacks take. Rows that are compared are timed in turn, round after
round. Part after part until the time is over: the last are cut short, or named as skipped. Exits 1 where a row failed
for a reason that is not its own, 2 on bad input. What needs CUDA has not been run: no session had a card.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from tests.benchmarks.gpu.figures import Report
from tests.benchmarks.gpu.machine import machine
from tests.benchmarks.gpu.measuring import attacking, scoring
from tests.benchmarks.gpu.session import TINY, Session, Sizes
from tests.benchmarks.gpu.several import several
from tests.benchmarks.gpu.single_steps import asked, determinism, same_models
from tests.benchmarks.gpu.subjects import Subject, subjects
from tests.benchmarks.gpu.training import training

Part = Callable[[Session, dict[str, Subject]], None]
PARTS: dict[str, Part] = {
    "machine": lambda session, _: machine(session),
    "resnet18": lambda session, all_: training(session, all_["resnet18"], with_peers=True),
    "step": lambda session, all_: asked(session, all_["resnet18"]),
    "same-model": lambda session, all_: same_models(session, small(session, all_)),
    "scoring": lambda session, all_: scoring(session, all_["resnet18"]),
    "several-resnet18": lambda session, all_: several(session, small(session, all_)),
    "determinism": lambda session, all_: determinism(session, all_["resnet18"]),
    "vit": lambda session, all_: training(session, all_["vit"]),
    "gpt": lambda session, all_: training(session, all_["gpt"]),
    "attacks": lambda session, all_: attacking(session, all_["resnet18"]),
    "resnet18-small-batch": lambda session, all_: training(session, small(session, all_), compiled=False),
    "several-vit": lambda session, all_: several(session, all_["vit"].at(session.sizes.small_batch)),
    "several-gpt": lambda session, all_: several(session, all_["gpt"].at(session.sizes.sequences // 2)),
}
"""In the order in which their answers are wanted: time is short."""
LEAST_SECONDS = 5.0
"""That a part is begun with: building its networks takes some."""


def small(session: Session, all_: dict[str, Subject]) -> Subject:
    """The residual network in small batches."""
    return all_["resnet18"].at(session.sizes.small_batch)


def seconds(text: str) -> float:
    """A time that has an end."""
    found = float(text)
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
    return found


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=seconds, default=540.0, help="for all parts together")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--format", choices=("lines", "markdown"), default="lines")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too, part by part")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes: no measurement")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure part by part."""
    given = parse(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print(
            "gpu: no CUDA device on this machine; --tiny --device cpu tries what needs none", file=sys.stderr
        )
        return 2
    report = Report(given.format, given.json)
    try:
        report.save()  # a file that cannot be written is known before the work
    except OSError as error:
        print(
            f"gpu: --json {given.json}: expected a file that can be written: {error.strerror}",
            file=sys.stderr,
        )
        return 2
    sizes = TINY if given.tiny else Sizes()
    device = (
        torch.device("cuda", torch.cuda.current_device()) if given.device == "cuda" else torch.device("cpu")
    )
    session = Session(device, sizes, report, given.seconds)
    session.part = "machine"
    session.figure("versions", {}, facts(session))
    all_ = subjects(session)
    for name in given.only:
        session.part = name
        if session.left < min(LEAST_SECONDS, given.seconds):
            session.missing("all of it", "skipped: no time left")
        else:
            session.attempt("the rest", lambda: PARTS[name](session, all_))  # noqa: B023
            session.release()
        report.close_part(name)
    failed = sum(figure.failed for figure in report.figures)
    missing = sum(bool(figure.missing) for figure in report.figures)
    measured = len(report.figures) - missing
    print(
        f"{measured} figures, {missing} missing, {failed} of them failed, {given.seconds - session.left:.0f} s"
    )
    return 1 if failed else 0


def facts(session: Session) -> str:
    """Versions, device, and how float32 products are computed unless somebody says otherwise."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return (
        f"torch {torch.__version__}, {session.engine('no').name}, cuDNN {cudnn.version()}, "
        f"float32 convolutions {cudnn.conv.fp32_precision}, products {matmul.fp32_precision}"
    )


if __name__ == "__main__":
    sys.exit(main())
