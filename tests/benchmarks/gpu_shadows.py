"""Shadow models per minute on one GPU: what each measure brings, and how many models to run together.

    python tests/benchmarks/gpu_shadows.py [--batch 512] [--steps 40] [--stacks 1 2 4 8] [--skip-compile]
    python tests/benchmarks/gpu_shadows.py --device cpu --batch 4 --steps 1 --width 4 --stacks 1 2

A residual network of CIFAR size on synthetic CIFAR-shaped images. Rows, each on top of the one before: the
peers' loop (DataLoader, crop and mirror image for each example on the host, float32); data resident on the
device with augmentation there; bf16 body with float32 logits and channels-last; torch.compile once, with the
weights initialised anew for a second model; CUDA graphs of the whole step. Then K models at once: K graphs on
K streams, and K models stacked by grouped convolution. Models per minute are for 25,000 examples x 50 epochs,
without set-up; the share is of a dense bf16 ceiling of 790 TFLOP/s (measured, H200). Without CUDA it says so.
Not run on a GPU yet: no session that worked on it had one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from tasks import models
from tasks.augment import Augmentation, Moves, augmentation, interleave
from tasks.devices import Engine
from tasks.resident import ResidentData
from tasks.seeding import torch_generator
from tasks.shadows.stacked import Stack

SHADOW_IMAGES = 25_000 * 50
CEILING = 790e12
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
        self.forward: Callable[[Tensor], Tensor] = (
            torch.compile(self.stack) if compiled else self.stack  # type: ignore[assignment]
        )
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
        images = self.move.apply(self.data.pixels(self.ids), Moves(self.shifts, self.mirrored))
        labels = self.data.labels[self.ids]
        with self.engine.autocast():
            logits = self.forward(images.view(self.batch, -1, *SHAPE[1:]))
        loss = F.cross_entropy(logits.float().flatten(0, 1), labels, reduction="sum") / self.batch
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def capture(self) -> None:
        """Record `compute` once as a CUDA graph."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.compute()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
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
    """Mean wall time after three steps to warm up."""
    for _ in range(3):
        step()
    _synchronise(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    _synchronise(device)
    return (time.perf_counter() - began) / steps


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Report:
    """Prints one line for each row of the table."""

    def __init__(self, flops_per_image: float, device: torch.device) -> None:
        self.flops, self.device = flops_per_image, device

    def line(self, name: str, seconds: float, images: int) -> None:
        """Rate of a step that trained `images` images in `seconds`, over all models."""
        rate = images / seconds
        cuda = self.device.type == "cuda"
        memory = torch.cuda.max_memory_allocated(self.device) / 2**30 if cuda else 0.0
        print(
            f"{name:44s} {rate:12,.0f} images/s {60 * rate / SHADOW_IMAGES:8.2f} models/min"
            f" {100 * rate * self.flops / CEILING:6.2f} % of ceiling {memory:7.2f} GiB",
            flush=True,
        )
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def flops_per_image(width: int) -> float:
    """Floating-point operations of a forward and backward pass of one image."""
    model = network(0, width, torch.device("cpu")).train()
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(2, *SHAPE)).sum().backward()
    return counter.get_total_flops() / 2


def ladder(
    options: argparse.Namespace, data: ResidentData, engines: dict[str, Engine], report: Report
) -> None:
    """One model, each measure on top of the one before."""
    device, batch, steps = data.device, options.batch, options.steps
    peers = peer_steps(network(0, options.width, device), data, batch, device)
    report.line("peers", seconds_per_step(lambda: next(peers), steps, device), batch)
    peers.close()
    for name, precision in (("resident, augmented on the device", "no"), ("+ bf16, channels-last", "bf16")):
        training = Training([network(0, options.width, device)], data, batch, engines[precision])
        report.line(name, seconds_per_step(training.step, steps, device), batch)
    if not options.skip_compile and device.type == "cuda":
        training = Training([network(0, options.width, device)], data, batch, engines["bf16"], compiled=True)
        began = time.perf_counter()
        training.step()
        _synchronise(device)
        first = time.perf_counter() - began
        report.line(f"+ compiled ({first:.0f} s once)", seconds_per_step(training.step, steps, device), batch)
        training.restart([network(1, options.width, device)])
        report.line("  the next model", seconds_per_step(training.step, steps, device), batch)
        training.capture()
        report.line("+ CUDA graph", seconds_per_step(training.step, steps, device), batch)
    if device.type == "cuda":
        training = Training([network(0, options.width, device)], data, batch, engines["bf16"])
        training.capture()
        report.line(
            "bf16 and CUDA graph, not compiled", seconds_per_step(training.step, steps, device), batch
        )


def together(options: argparse.Namespace, data: ResidentData, engine: Engine, report: Report) -> None:
    """K models at once: on streams, and stacked."""
    device, batch = data.device, options.batch
    for count in options.stacks:
        if device.type == "cuda":
            trainings = [
                Training([network(k, options.width, device)], data, batch, engine) for k in range(count)
            ]
            for training in trainings:
                training.capture()
            streams = [torch.cuda.Stream() for _ in trainings]

            def step(trainings=trainings, streams=streams) -> None:
                for training, stream in zip(trainings, streams, strict=True):
                    with torch.cuda.stream(stream):
                        training.step()

            seconds = seconds_per_step(step, options.steps, device)
            report.line(f"{count} on streams, CUDA graphs", seconds, batch * count)
        shadows = [network(k, options.width, device) for k in range(count)]
        stacked = Training(shadows, data, batch, engine)
        if device.type == "cuda":
            stacked.capture()
        seconds = seconds_per_step(stacked.step, options.steps, device)
        report.line(f"{count} stacked (grouped convolution)", seconds, batch * count)


def main() -> None:
    """Print the table, or one line where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--stacks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--skip-compile", action="store_true")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu_shadows: no CUDA device on this machine; nothing measured")
        return
    engines = {name: Engine(device=options.device, precision=name) for name in ("no", "bf16")}
    data = synthetic(50_000 if options.device == "cuda" else 8 * options.batch, engines["no"].device)
    report = Report(flops_per_image(options.width), data.device)
    ladder(options, data, engines, report)
    together(options, data, engines["bf16"], report)


if __name__ == "__main__":
    main()
