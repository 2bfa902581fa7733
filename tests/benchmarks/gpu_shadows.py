"""Shadow models per minute on one GPU: what each measure brings, and how many models to run together.

    python tests/benchmarks/gpu_shadows.py [--batch 512] [--steps 40] [--stacks 1 2 4 8] [--skip-compile]
    python tests/benchmarks/gpu_shadows.py --tiny --device cpu     # does every row run? No measurement

A residual network of CIFAR size on synthetic CIFAR-shaped images. Rows, each on top of the one before: the
peers' loop (DataLoader, crop and mirror image for each example on the host, float32); data resident on the
device with augmentation there; bf16 body with float32 logits and channels-last; torch.compile once, with the
weights initialised anew for a second model; CUDA graphs of the whole step. Then K models at once: K graphs on
K streams, and K models stacked by grouped convolution; the last line names the fastest row. Models per minute
are for 25,000 examples x 50 epochs, without set-up; the share is of a dense bf16 ceiling of 790 TFLOP/s (measured,
H200). A row that fails says why, and the others go on; without CUDA the rows that need it say so. Algorithms are
deterministic, as in the product. Not run on a GPU yet: no session that worked on it had one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from tasks.images.augment import Augmentation, Moves, augmentation, interleave
from tasks.networks import models
from tasks.runtime.devices import Engine
from tasks.runtime.seeding import torch_generator
from tasks.training.resident import ResidentData
from tasks.training.stacked import Stack

SHADOW_IMAGES = 25_000 * 50
CEILING = 790e12
WARM_UP, ROW_SECONDS = 3, 30.0
SHAPE = (3, 32, 32)


def network(number: int, width: int, device: torch.device) -> nn.Module:
    """ResNet-18 with a 3x3 stem; `width` channels in its first block (64 in the paper)."""
    channels = (width, 2 * width, 4 * width, 8 * width)
    return models.build(
        "resnet18",
        {"channels": channels},
        image_shape=SHAPE,
        num_classes=10,
        mean=0.5,
        std=0.25,
        seed_path=("gpu benchmark", number),
    ).to(device)


def synthetic(count: int, device: torch.device) -> ResidentData:
    """Random images, uint8."""
    generator = torch_generator("gpu benchmark", "data")
    images = torch.randint(256, (count, *SHAPE), generator=generator, dtype=torch.uint8)
    labels = torch.randint(10, (count,), generator=generator)
    return ResidentData(images.to(device), labels.to(device), 10)


class Training:
    """K models in lockstep on resident data; inputs in fixed buffers, so that a step can be a CUDA graph."""

    def __init__(
        self,
        shadows: list[nn.Module],
        data: ResidentData,
        batch: int,
        engine: Engine,
        *,
        compiled: bool = False,
    ) -> None:
        self.data, self.engine = data, engine
        self.stack = Stack(shadows).to(memory_format=torch.channels_last).train()
        self.forward: Callable[[Tensor], Tensor] = torch.compile(self.stack) if compiled else self.stack
        self.optimizer = torch.optim.SGD(
            self.stack.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
        )
        self.generators = [torch_generator("gpu benchmark", "order", k) for k in range(len(shadows))]
        self.move: Augmentation | None = augmentation("crop_flip", SHAPE[-1])
        self.batch, device = batch, engine.device
        count = batch * len(shadows)
        self.ids = torch.zeros(count, dtype=torch.int64, device=device)
        self.shifts = torch.zeros((2, count), dtype=torch.int64, device=device)
        self.mirrored = torch.zeros(count, dtype=torch.bool, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        # Of its own: cuBLAS keeps one workspace for each stream, and graphs captured on a common one would
        # write to the same workspace when they are replayed at once.
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def restart(self, shadows: list[nn.Module]) -> None:
        """Other weights in the same tensors: what was compiled or captured stays valid."""
        with torch.no_grad():
            for old, new in zip(
                self.stack.state_dict().values(), Stack(shadows).state_dict().values(), strict=True
            ):
                old.copy_(new)
        for state in self.optimizer.state.values():
            state["momentum_buffer"].zero_()

    def draw(self) -> None:
        """The next random batch and moves of every model, from its own host generator."""
        assert self.move is not None
        size = len(self.data.labels)
        rows = [torch.randint(size, (self.batch,), generator=g) for g in self.generators]
        moves = interleave([self.move.draw(self.batch, g) for g in self.generators])
        assert moves.shifts is not None
        assert moves.mirrored is not None
        self.ids.copy_(torch.stack(rows, dim=1).flatten(), non_blocking=True)
        self.shifts.copy_(moves.shifts, non_blocking=True)
        self.mirrored.copy_(moves.mirrored, non_blocking=True)

    def compute(self) -> Tensor:
        """Forward, backward and update on the buffers; the sum of the models' losses."""
        assert self.move is not None
        images = self.move.apply(self.data.inputs(self.ids), Moves(self.shifts, self.mirrored))
        labels = self.data.labels[self.ids]
        with self.engine.autocast():
            logits = self.forward(images.view(self.batch, -1, *SHAPE[1:]))
        loss = F.cross_entropy(logits.float().flatten(0, 1), labels, reduction="sum") / self.batch
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def capture(self) -> None:
        """Record `compute` once as a CUDA graph, after steps that create gradients, momenta and workspaces."""
        self.draw()
        assert self.stream is not None
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UP):
                self.compute()
        torch.cuda.current_stream().wait_stream(self.stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self.compute()
        self.graph = graph

    def step(self) -> None:
        """One optimiser step of every model."""
        self.draw()
        if self.graph is None:
            self.compute()
        else:
            self.graph.replay()


class HostData(Dataset):
    """Examples on the host with torchvision's transforms, one at a time."""

    def __init__(self, data: ResidentData) -> None:
        self.images, self.labels = data.images.cpu(), data.labels.cpu()
        self.transform = transforms.Compose(
            [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.images[index]).float() / 255, self.labels[index]


def peer_steps(model: nn.Module, data: ResidentData, batch: int, device: torch.device) -> Iterator[None]:
    """The peers' loop, one step at a time."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    workers = 2 if device.type == "cuda" else 0
    loader = DataLoader(HostData(data), batch, shuffle=True, drop_last=True, num_workers=workers)
    model.train()
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            loss.item()
            yield


def seconds_per_step(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """Mean wall time, after steps to warm up; fewer steps where they would take longer than a row may."""
    for _ in range(WARM_UP):
        _synchronise(device)
        began = time.perf_counter()
        step()
        _synchronise(device)
        once = time.perf_counter() - began
    steps = max(1, min(steps, int(ROW_SECONDS / once)))
    began = time.perf_counter()
    for _ in range(steps):
        step()
    _synchronise(device)
    return (time.perf_counter() - began) / steps


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Report:
    """Prints one line for each row of the table, and keeps the fastest."""

    def __init__(self, flops_per_image: float, device: torch.device, steps: int) -> None:
        self.flops, self.device, self.steps = flops_per_image, device, steps
        self.rates: dict[str, float] = {}

    def row(self, name: str, images: int, prepare: Callable[[], Callable[[], object]]) -> None:
        """Time the step that `prepare` returns, which trains `images` images over all models."""
        try:
            seconds = seconds_per_step(prepare(), self.steps, self.device)
        except Exception as error:  # whatever one row meets on an unknown GPU, the others must be measured
            print(f"{name:44s} failed: {type(error).__name__}: {str(error)[:120]!r}", flush=True)
        else:
            self._line(name, images / seconds)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def cuda_row(self, name: str, images: int, prepare: Callable[[], Callable[[], object]]) -> None:
        """The same, where there is CUDA; else a line that says so."""
        if self.device.type == "cuda":
            self.row(name, images, prepare)
        else:
            print(f"{name:44s} left out: needs CUDA", flush=True)

    def _line(self, name: str, rate: float) -> None:
        self.rates[name] = rate
        cuda = self.device.type == "cuda"
        memory = torch.cuda.max_memory_allocated(self.device) / 2**30 if cuda else 0.0
        print(
            f"{name:44s} {rate:12,.0f} images/s {60 * rate / SHADOW_IMAGES:8.2f} models/min"
            f" {100 * rate * self.flops / CEILING:6.2f} % of ceiling {memory:7.2f} GiB",
            flush=True,
        )

    def close(self) -> None:
        """Name the fastest row."""
        if self.rates:
            best = max(self.rates, key=lambda name: self.rates[name])
            print(f"fastest: {best.strip()}, {60 * self.rates[best] / SHADOW_IMAGES:.2f} models/min")


def flops_per_image(width: int) -> float:
    """Floating-point operations of a forward and backward pass of one image."""
    model = network(0, width, torch.device("cpu")).train()
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(2, *SHAPE)).sum().backward()
    return counter.get_total_flops() / 2


@dataclass(frozen=True)
class Bench:
    """What all rows share."""

    data: ResidentData
    engines: dict[str, Engine]
    batch: int
    width: int

    def training(self, precision: str, count: int = 1, *, compiled: bool = False) -> Training:
        """A fresh training of `count` models in lockstep."""
        shadows = [network(k, self.width, self.data.device) for k in range(count)]
        return Training(shadows, self.data, self.batch, self.engines[precision], compiled=compiled)

    def captured(self, count: int = 1) -> Training:
        """The same in bf16, as a CUDA graph."""
        training = self.training("bf16", count)
        training.capture()
        return training


def ladder(bench: Bench, report: Report) -> None:
    """One model, each measure on top of the one before."""
    device, batch = bench.data.device, bench.batch

    def peers() -> Callable[[], object]:
        steps = peer_steps(network(0, bench.width, device), bench.data, batch, device)
        return lambda: next(steps)

    report.row("peers", batch, peers)
    report.row("resident, augmented on the device", batch, lambda: bench.training("no").step)
    report.row("+ bf16, channels-last", batch, lambda: bench.training("bf16").step)
    report.cuda_row("bf16 and CUDA graph, not compiled", batch, lambda: bench.captured().step)


def compiled_ladder(bench: Bench, report: Report) -> None:
    """One compiled model, whose weights are then initialised anew, and whose step is then a CUDA graph."""
    batch, trainings = bench.batch, []

    def first() -> Callable[[], object]:
        training = bench.training("bf16", compiled=True)
        began = time.perf_counter()
        training.step()
        _synchronise(bench.data.device)
        print(f"compiling took {time.perf_counter() - began:.0f} s", flush=True)
        trainings.append(training)
        return training.step

    def again() -> Callable[[], object]:
        trainings[0].restart([network(1, bench.width, bench.data.device)])
        return trainings[0].step

    def graph() -> Callable[[], object]:
        trainings[0].capture()
        return trainings[0].step

    report.cuda_row("+ compiled", batch, first)
    report.cuda_row("  the next model", batch, again)
    report.cuda_row("+ compiled and CUDA graph", batch, graph)


def on_streams(bench: Bench, count: int) -> Callable[[], object]:
    """A step of `count` models, each a graph on its own stream."""
    trainings = [bench.captured() for _ in range(count)]
    torch.cuda.synchronize(bench.data.device)

    def step() -> None:
        for training in trainings:
            with torch.cuda.stream(training.stream):
                training.step()

    return step


def stacked(bench: Bench, count: int) -> Callable[[], object]:
    """A step of `count` models in lockstep, a graph where there is CUDA."""
    cuda = bench.data.device.type == "cuda"
    return (bench.captured(count) if cuda else bench.training("bf16", count)).step


def together(bench: Bench, stacks: list[int], report: Report) -> None:
    """K models at once: on streams, and stacked."""
    for count in stacks:
        images = bench.batch * count
        report.cuda_row(f"{count} on streams, CUDA graphs", images, partial(on_streams, bench, count))
        report.row(
            f"{count} stacked (grouped convolution)",
            images,
            partial(stacked, bench, count),
        )


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; `--tiny` overrides sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--stacks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--skip-compile", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="batch 4, 1 step, width 4, stacks 1 and 2")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.batch, options.steps, options.width, options.stacks = 4, 1, 4, [1, 2]
    return options


def main(arguments: list[str] | None = None) -> None:
    """Print the table, or one line where there is no GPU."""
    options = parse_options(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu_shadows: no CUDA device on this machine; nothing measured")
        return
    engines = {name: Engine(device=options.device, precision=name) for name in ("no", "bf16")}
    count = 50_000 if options.device == "cuda" and not options.tiny else 8 * options.batch
    bench = Bench(synthetic(count, engines["no"].device), engines, options.batch, options.width)
    report = Report(flops_per_image(options.width), bench.data.device, options.steps)
    ladder(bench, report)
    if not options.skip_compile:
        compiled_ladder(bench, report)
    together(bench, options.stacks, report)
    report.close()


if __name__ == "__main__":
    main()
