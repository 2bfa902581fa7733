"""Ways in which one file of results can be damaged on one machine."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, list[Path], random.Random], set[Path]]


def cut(file: Path, others: list[Path], rng: random.Random) -> set[Path]:
    os.truncate(file, rng.randrange(1, file.stat().st_size))
    return {file}


def empty(file: Path, others: list[Path], rng: random.Random) -> set[Path]:
    os.truncate(file, 0)
    return {file}


def flip(file: Path, others: list[Path], rng: random.Random) -> set[Path]:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    return {file}


def delete(file: Path, others: list[Path], rng: random.Random) -> set[Path]:
    file.unlink()
    return {file}


def swap(file: Path, others: list[Path], rng: random.Random) -> set[Path]:
    other = rng.choice(others)
    content = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(content)
    return {file, other}


def copy(file: Path, others: list[Path], rng: random.Random) -> set[Path]:
    """Another file's content, under this one's name."""
    shutil.copyfile(rng.choice(others), file)
    return {file}


def stray(file: Path, others: list[Path], rng: random.Random) -> set[Path]:
    """A copy under a name that no file has."""
    place = file.with_name(f"0{file.name}")
    shutil.copyfile(file, place)
    return {place}


KINDS: dict[str, Damage] = {f.__name__: f for f in (cut, empty, flip, delete, swap, copy, stray)}


def result_files(results: Path) -> list[Path]:
    """Every file that a sweep writes, but for the report."""
    files = [path for path in results.rglob("*") if path.is_file() and "_damaged" not in path.parts]
    return sorted(
        path for path in files if path.suffix in {".arrow", ".safetensors"} or path.name == "store.json"
    )


def alike(file: Path, files: list[Path]) -> list[Path]:
    """Other files of its table, or of its kind where it is the only one of its table."""
    content = file.read_bytes()
    others = [other for other in files if other.read_bytes() != content]
    kin = [other for other in others if other.suffix == file.suffix]
    return [other for other in kin if other.parent == file.parent] or kin or others
