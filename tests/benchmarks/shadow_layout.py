"""One shadow for all methods against fresh shadows for each; processes against threads. Digits, CPU.

    python tests/benchmarks/shadow_layout.py [--shadows 8] [--epochs 6] [--repeats 3]

Part 1 trains N shadows and unlearns from each with M methods, then does what the peers do: N new shadows
for every method. Both are run, not extrapolated; the plan's size (256 shadows, 18 method-scope pairs) follows
from the measured cost of one unlearning. Part 2 trains the same shadows in 2 processes of 1 thread and in 1
process of 2 threads, in wall time: it means something on an idle machine only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from torch import nn

from tasks.datasets.digits import Digits
from tasks.networks import models
from tasks.runtime.devices import Engine
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.shadows.runs import ShadowBench, Unlearning, shadow_runs
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.strategy_text import Strategy
from tasks.unlearn.base import methods

METHODS = ("finetune", "gradient_ascent", "neggrad_plus", "random_labels")
NUM_TRAIN = 1500


def small_resnet(path: tuple[str | int, ...]) -> nn.Module:
    """The residual network of the digits presets."""
    return models.build(
        "resnetv2_18",
        {"layers": (1, 1, 1), "channels": (8, 16, 32), "stem_chs": 8},
        image_shape=(1, 8, 8),
        num_classes=10,
        mean=0.3,
        std=0.35,
        seed_path=path,
    )


def make_bench(shadows: int, epochs: int, strategy: Strategy) -> ShadowBench:
    """Shadows on the digits, with a pool of 300 targets and forget sets of 60."""
    source = Digits()
    labels = source.read_labels().labels
    engine = Engine(device="cpu")
    pool = TargetPool(name="random", ids=np.arange(0, NUM_TRAIN, 5), forget_size=60)
    return ShadowBench(
        layout=ShadowLayout(
            train_ids=np.arange(NUM_TRAIN), labels=labels[:NUM_TRAIN], num_shadows=shadows, pools=(pool,)
        ),
        data=ResidentData.put(source.read_images(), labels, 10, engine.device),
        recipe=Recipe(epochs=epochs, batch_size=16, lr=0.05),
        fresh_model=small_resnet,
        example_ids=np.arange(len(labels)),
        validation_ids=np.arange(NUM_TRAIN, len(labels)),
        engine=engine,
        strategy=strategy,
    )


def sweep(bench: ShadowBench, names: tuple[str, ...]) -> dict[str, float]:
    """Train all shadows, and unlearn from each with every named method; counts and processor seconds."""
    settings = {"epochs": 2, "batch_size": 64}
    plan = [
        Unlearning(label=name, method=methods.get(name)(**settings), scope="all", pool="random")
        for name in names
    ]
    began = time.process_time()
    trained = bench.train(range(bench.layout.num_shadows))
    middle = time.process_time()
    runs = [run for j, (model, _) in enumerate(trained) for run in shadow_runs(bench, j, model, plan)]
    assert not any(run.error for run in runs)
    return {
        "trainings": len(trained),
        "unlearnings": len(runs),
        "train_s": middle - began,
        "unlearn_s": time.process_time() - middle,
    }


def total(parts: list[dict[str, float]]) -> dict[str, float]:
    """Sum of several sweeps."""
    return {key: sum(part[key] for part in parts) for key in parts[0]}


def median(found: list[dict[str, float]]) -> dict[str, float]:
    """Median of each number over the repeats."""
    return {key: statistics.median(part[key] for part in found) for key in found[0]}


def compare_layouts(shadows: int, epochs: int, repeats: int) -> None:
    """Print counts and seconds of three layouts, and what follows for the full plan."""
    loop, stack = Strategy(), Strategy(kind="grouped", stack=16, channels_last=True)
    layouts = {
        "fresh shadows per method, loop": lambda: total(
            [sweep(make_bench(shadows, epochs, loop), (name,)) for name in METHODS]
        ),
        "one shadow for all, loop": lambda: sweep(make_bench(shadows, epochs, loop), METHODS),
        "one shadow for all, lockstep": lambda: sweep(make_bench(shadows, epochs, stack), METHODS),
    }
    times: dict[str, list[dict[str, float]]] = {name: [] for name in layouts}
    layouts["one shadow for all, lockstep"]()  # proves the stack once for the process
    for _ in range(repeats):
        for name, run in layouts.items():
            times[name].append(run())
    found = {name: median(parts) for name, parts in times.items()}
    slowest = sum(next(iter(found.values()))[key] for key in ("train_s", "unlearn_s"))
    print(f"{shadows} shadows, {len(METHODS)} methods, processor seconds (trainings, unlearnings)")
    for name, part in found.items():
        seconds = part["train_s"] + part["unlearn_s"]
        print(
            f"  {name:31s} train {part['train_s']:6.2f} ({part['trainings']:.0f})  unlearn and score "
            f"{part['unlearn_s']:6.2f} ({part['unlearnings']:.0f})  {slowest / seconds:5.2f} x fresh"
        )
    shared = found["one shadow for all, loop"]
    cost = shared["unlearn_s"] / shared["unlearnings"] / (shared["train_s"] / shared["trainings"])
    ours, fresh = 256 * (1 + 18 * cost), 18 * 256 * (1 + cost)
    print(f"one unlearning costs c = {cost:.3f} trainings; 256 shadows, 18 method-scope pairs, one draw:")
    print(f"  {ours:.0f} training equivalents against {fresh:.0f}: {fresh / ours:.1f} x")


def _train_share(shadows: list[int], threads: int, of: int, epochs: int) -> int:
    torch.set_num_threads(threads)
    bench = make_bench(of, epochs, Strategy(kind="grouped", stack=16, channels_last=True))
    return len(bench.train(shadows))


def compare_processes(shadows: int, epochs: int, repeats: int) -> None:
    """Print the wall seconds of 2 x 1 and 1 x 2 processes x threads."""
    context = multiprocessing.get_context("spawn")
    everyone = list(range(shadows))
    times: dict[str, list[float]] = {"2 processes x 1 thread": [], "1 process x 2 threads": []}
    with ProcessPoolExecutor(2, mp_context=context) as pool:

        def run(parts: list[list[int]], threads: int) -> float:
            began = time.perf_counter()
            jobs = [pool.submit(_train_share, part, threads, shadows, epochs) for part in parts]
            assert sum(job.result() for job in jobs) == shadows
            return time.perf_counter() - began

        run([everyone[::2], everyone[1::2]], 1)
        for _ in range(repeats):
            times["2 processes x 1 thread"].append(run([everyone[::2], everyone[1::2]], 1))
            times["1 process x 2 threads"].append(run([everyone], 2))
    load = os.getloadavg()[0]
    print(f"{shadows} shadows in lockstep, wall seconds, {os.cpu_count()} processors, load {load:.1f}")
    for name, values in times.items():
        print(f"  {name:24s} {statistics.median(values):6.2f}")


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shadows", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    compare_layouts(options.shadows, options.epochs, options.repeats)
    compare_processes(options.shadows, options.epochs, options.repeats)


if __name__ == "__main__":
    main()
