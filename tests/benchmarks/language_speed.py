"""Tokens a second of language models, beside a plain loop over transformers, and shadow models a minute.

    python -m tests.benchmarks.language_speed [--repeats 5] [--epochs 2] [--corpora people docstrings]

Both sides have the same model (gpt2's configuration, two blocks of width 64, no dropout, newly initialised), the same
documents, batch sizes, optimiser and number of steps. The plain loop is what a user of transformers writes: a
DataLoader whose batches are filled up to their longest document, an attention mask, the library's own loss or a
log-softmax of all positions, AdamW as torch makes it; one model after another. Scoring computes on both sides loss,
min-k and min-k++ of every document; ours adds what else results hold. A shadow model is trained on a half of the
documents, unlearned by NPO and scored on all. Tokens are those that are asked for, so that what fills rows counts for
nobody. Repeats are interleaved; the number is the median of processor time. One thread.

Beside training stands the share of what a square product of matrices reaches: of bf16 on a GPU (`--device cuda`, where
time is the clock's and nothing has been run yet), of float32 on a CPU.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, GPT2Config

from tasks.datasets.base import TextSource
from tasks.datasets.fictitious_people import FictitiousPeople
from tasks.datasets.python_docstrings import PythonDocstrings
from tasks.networks.hugging_face import build_hugging_face
from tasks.networks.hugging_face_options import HuggingFaceOptions
from tasks.networks.scopes import bind
from tasks.objectives.language import LEAST_VARIANCE, LOWEST_SHARE
from tasks.runtime.devices import Engine
from tasks.text.documents import Documents
from tasks.training.documents import ResidentDocuments
from tasks.training.recipe import Recipe
from tasks.training.resident import Subset
from tasks.training.scoring import score
from tasks.training.train import train
from tasks.unlearn.npo import NPO
from tasks.unlearn.run import UnlearningRun, unlearn

CORPORA: dict[str, TextSource] = {
    "people": FictitiousPeople(num_train=90, num_test=60),
    "docstrings": PythonDocstrings(),
}
SIZES = {
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 256,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
BATCH, SCORED, LR, BETA = 16, 64, 1e-3, 0.1
FORGOTTEN = 0.15
"""Share of the documents that unlearning is to forget."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What both sides do to one corpus."""

    name: str
    documents: Documents
    subset: Subset
    base: nn.Module
    """With the activation as one kernel."""
    published: nn.Module
    """The same weights, built by the library alone."""
    recipe: Recipe
    engine: Engine

    @property
    def tokens(self) -> int:
        """Tokens of all documents that are asked for."""
        return int(self.documents.asked.sum())

    @property
    def forgotten(self) -> int:
        """Documents to forget: the first ones."""
        return round(FORGOTTEN * len(self.documents))

    @property
    def unlearned_tokens(self) -> int:
        """Tokens of one epoch of unlearning: the forget set, and as many documents of the others."""
        own = self.documents.asked.sum(axis=1)
        return int(own[: self.forgotten].sum() + self.forgotten * own[self.forgotten :].mean())


Side = Callable[[nn.Module], None]
SHADOW = "shadow model"


def ours(work: Work) -> dict[str, Side]:
    """Lethe's loops."""
    ids, data = np.arange(len(work.documents)), work.subset.data
    half = data.subset(ids[::2])

    def unlearning(model: nn.Module) -> None:
        run = UnlearningRun(
            model=model,
            scope=bind("all", model),
            forget=data.subset(ids[: work.forgotten]),
            retain=data.subset(ids[work.forgotten :]),
            validation=data.subset(ids[:1]),
            seed=0,
            fresh_model=lambda path: copy.deepcopy(work.base),
            engine=work.engine,
        )
        unlearn(NPO(epochs=work.recipe.epochs, batch_size=BATCH, lr=LR, beta=BETA), run)

    def shadow(model: nn.Module) -> None:
        _trained(model, half, work)
        unlearning(model)
        _scored(model, work)

    return {
        "training": lambda model: _trained(model, work.subset, work),
        "unlearning (npo)": unlearning,
        "scoring": lambda model: _scored(model, work),
        SHADOW: shadow,
    }


def _trained(model: nn.Module, subset: Subset, work: Work) -> None:
    train(model, subset, work.recipe, seed_path=("benchmark",), engine=work.engine)


def _scored(model: nn.Module, work: Work) -> None:
    assert score(model, work.subset, batch_size=SCORED).finite


def plain(work: Work) -> dict[str, Side]:
    """The loops over transformers."""
    rows = [work.documents.ids(i) for i in range(len(work.documents))]
    loader = partial(DataLoader, batch_size=BATCH, collate_fn=_filled)
    kept = loader(rows[work.forgotten :], shuffle=True)

    def training(model: nn.Module, own: Sequence[list[int]] = rows) -> None:
        optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
        model.train()
        for _ in range(work.recipe.epochs):
            for batch in loader(own, shuffle=True):
                loss = model(**_moved(batch, work)).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()

    def unlearning(model: nn.Module) -> None:
        reference = copy.deepcopy(model).eval()
        optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
        model.train()
        keeping = _endless(kept)
        for _ in range(work.recipe.epochs):
            for filled in loader(rows[: work.forgotten], shuffle=True):
                batch = _moved(filled, work)
                with torch.no_grad():
                    before = _summed(reference, batch)
                losses = -F.logsigmoid(BETA * (_summed(model, batch) - before)) * 2 / BETA
                loss = losses.mean() + model(**_moved(next(keeping), work)).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()

    def scoring(model: nn.Module) -> None:
        model.eval()
        with torch.no_grad():
            for filled in loader(rows, batch_size=SCORED):
                for value in _statistics(model, _moved(filled, work)):
                    value.cpu()

    def shadow(model: nn.Module) -> None:
        training(model, rows[::2])
        unlearning(model)
        scoring(model)

    return {"training": training, "unlearning (npo)": unlearning, "scoring": scoring, SHADOW: shadow}


def _filled(rows: Sequence[list[int]]) -> dict[str, Tensor]:
    """A batch as the collators of transformers make it."""
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def _moved(batch: dict[str, Tensor], work: Work) -> dict[str, Tensor]:
    return {name: tensor.to(work.engine.device) for name, tensor in batch.items()}


def _endless(loader: DataLoader) -> Iterator[dict[str, Tensor]]:
    while True:
        yield from loader


def _summed(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Negative log-likelihood of each document, summed over its tokens, `n`."""
    logits, labels = _shifted(model, batch)
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none")
    return losses.view(labels.shape).sum(dim=1)


def _shifted(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    answer = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return answer.logits[:, :-1], batch["labels"][:, 1:]


def _statistics(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, min-k and min-k++ of each document, `n` each."""
    logits, labels = _shifted(model, batch)
    asked = labels != -100
    logs = F.log_softmax(logits, dim=-1)
    own = logs.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    mean = (logs.exp() * logs).sum(dim=-1)
    variance = (logs.exp() * logs.square()).sum(dim=-1) - mean.square()
    standardised = (own - mean) / variance.clamp(min=LEAST_VARIANCE).sqrt()
    tokens = asked.sum(dim=1)
    count = (LOWEST_SHARE * tokens).floor().long().clamp(min=1)
    lowest = torch.arange(labels.shape[1], device=labels.device) < count[:, None]

    def least(values: Tensor) -> Tensor:
        ordered = values.masked_fill(~asked, torch.inf).sort(dim=1).values
        return ordered.masked_fill(~lowest, 0.0).sum(dim=1) / count

    return -own.masked_fill(~asked, 0.0).sum(dim=1) / tokens, least(own), least(standardised)


def measure(work: Work, repeats: int) -> dict[str, tuple[float, float]]:
    """Median seconds of each task, ours and the plain loop's: of the processor, of a GPU by the clock."""
    sides = ((ours(work), work.base), (plain(work), work.published))
    found = {}
    for name in sides[0][0]:
        times: tuple[list[float], list[float]] = [], []
        for repeat in range(repeats + 1):
            for own, (side, base) in zip(times, sides, strict=True):
                taken = seconds(partial(side[name], copy.deepcopy(base)), work.engine.device)
                if repeat:  # the first warms up
                    own.append(taken)
        found[name] = (statistics.median(times[0]), statistics.median(times[1]))
    return found


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """What it takes: of the processor, of a GPU by the clock."""
    if device.type == "cpu":
        began = time.process_time()
        run()
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def arithmetic(work: Work) -> float:
    """Floating-point operations of an epoch of our training, two for each multiply-add."""
    model, objective = copy.deepcopy(work.base).train(), work.subset.data.objective
    generator = torch.Generator().manual_seed(0)
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):  # others are not all counted
        for batch in work.subset.batches(BATCH, generator=generator):
            objective.loss(model(batch.inputs), batch).backward()
    return counter.get_total_flops()


def peak(device: torch.device) -> float:
    """Operations a second of a square product: of bf16 on a GPU, of float32 on a CPU."""
    on_cpu = device.type == "cpu"
    size, dtype = (1024, torch.float32) if on_cpu else (8192, torch.bfloat16)
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    return 2 * size**3 / statistics.median(seconds(lambda: a @ a, device) for _ in range(10))


def work_on(name: str, *, epochs: int, device: Literal["cpu", "cuda"]) -> Work:
    """A corpus, and a model whose vocabulary is that of the corpus."""
    source = CORPORA[name]
    labels, documents = source.read_labels(), source.read_inputs()
    engine = Engine(device=device, precision="bf16" if device == "cuda" else "no")
    data = ResidentDocuments.put(documents, labels.vocabulary, engine.device)
    options = HuggingFaceOptions(family="gpt2", options=SIZES)
    base = build_hugging_face(options, vocabulary=labels.vocabulary, seed_path=("benchmark",))
    published = AutoModelForCausalLM.from_config(
        GPT2Config(vocab_size=labels.vocabulary, bos_token_id=None, eos_token_id=None, **SIZES)
    )
    published.load_state_dict(base.body.state_dict())
    return Work(
        name=name,
        documents=documents,
        subset=data.subset(np.arange(len(documents))),
        base=base.to(engine.device),
        published=published.to(engine.device),
        recipe=Recipe(
            epochs=epochs,
            batch_size=BATCH,
            optimizer="adamw",
            lr=LR,
            weight_decay=0.01,
            schedule="constant",
            warmup_epochs=0,
        ),
        engine=engine,
    )


def report(work: Work, repeats: int) -> None:
    """Print a block for one corpus."""
    epochs, count = work.recipe.epochs, len(work.documents)
    tokens = {
        "training": work.tokens * epochs,
        "unlearning (npo)": work.unlearned_tokens * epochs,
        "scoring": work.tokens,
    }
    print(
        f"{work.name}: {count} documents of {work.tokens / count:.0f} tokens, batch {BATCH}, {epochs} epochs"
    )
    for task, (own, peer) in measure(work, repeats).items():
        done, unit = (60, "models/min") if task == SHADOW else (tokens[task], "tokens/s")
        row = f"  {task:17s} {done / own:9,.0f} {unit:10s}   plain loop {done / peer:9,.0f}   {peer / own:5.2f} x plain"
        if task == "training":
            reached = arithmetic(work) * epochs / own
            row += f"   {reached / 1e9:,.0f} GFLOP/s, {reached / peak(work.engine.device):.0%} of a product"
        print(row, flush=True)


def main() -> None:
    """Print a block for each corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.corpora:
        report(work_on(name, epochs=options.epochs, device=options.device), options.repeats)


if __name__ == "__main__":
    main()
