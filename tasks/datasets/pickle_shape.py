"""Bounds what a pickle can cost, from its opcodes alone: before anything of it is built.

A few bytes can ask for a structure that takes for ever to hash (tuples that hold the tuple before twice), that holds
itself, or that is too deep for the stack. Here a pickle is walked without making a value: the depth of each value is
all that is kept.
"""

from __future__ import annotations

import pickle
import pickletools

DEPTH = 8
"""Containers in one another: a table of lists, or an array's state with its shape, needs four."""
OPCODES = 1 << 20
"""The largest official file, the training part of CIFAR-100 with its file names, has some 250,000."""
SHARED = 256
"""Characters of text that may be fetched again, such as the name of an encoding."""
OPENS = {"EMPTY_LIST", "EMPTY_DICT"}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
GETS = {"GET", "BINGET", "LONG_BINGET"}
TO_MARK = {"TUPLE", "LIST", "DICT"}
GROWS = {"APPEND": 1, "SETITEM": 2, "BUILD": 1}
GROWS_TO_MARK = {"APPENDS", "SETITEMS"}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PLAIN = {
    *(
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "FLOAT",
        "BINFLOAT",
    ),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "GLOBAL"),
}


def check_shape(data: bytes) -> None:
    """Refuse a pickle whose values nest deeply, hold one another twice, or are too many.

    Raises:
        UnpicklingError: the first opcode that asks for such a thing; ValueError where it is cut short.
    """
    stack: list[int] = []  # the depth of each value, -1 for a mark
    memo: dict[int, int] = {}  # what a fetch costs: SHARED or more for what may not be fetched
    length = 0  # of the latest text
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if number >= OPCODES:
            raise pickle.UnpicklingError(f"expected at most {OPCODES} opcodes")
        if name in PLAIN:
            stack.append(0)
            length = len(argument) if isinstance(argument, (str, bytes)) else 0
        elif name in PUTS:
            place = len(memo) if name == "MEMOIZE" else int(str(argument))
            if place > OPCODES:  # the memo is an array of that length
                raise pickle.UnpicklingError(f"expected at most {OPCODES} values to be kept")
            memo[place] = length if stack[-1] == 0 else SHARED + 1
        elif name in GETS:
            if memo.get(int(str(argument)), SHARED + 1) > SHARED:
                raise pickle.UnpicklingError("expected a table, got values that hold the same value twice")
            stack.append(0)
        else:
            _walk(name, stack)
            length = 0
        if stack and stack[-1] > DEPTH:
            raise pickle.UnpicklingError(f"expected at most {DEPTH} containers in one another")


def _walk(name: str, stack: list[int]) -> None:
    """Do to the depths what an opcode does to the values."""
    if name == "MARK":
        stack.append(-1)
    elif name in OPENS:
        stack.append(1)
    elif name in TUPLES:
        stack.append(1 + max(_pop(stack, TUPLES[name]), default=0))
    elif name in TO_MARK:
        stack.append(1 + max(_pop_to_mark(stack), default=0))
    elif name in GROWS:
        inside = _pop(stack, GROWS[name])
        stack[-1] = max(stack[-1], 1 + max(inside))
    elif name in GROWS_TO_MARK:
        inside = _pop_to_mark(stack)
        stack[-1] = max(stack[-1], 1 + max(inside, default=0))
    elif name in ("REDUCE", "STACK_GLOBAL"):  # what is called holds none of its arguments
        _pop(stack, 2)
        stack.append(0)
    elif name not in ("PROTO", "FRAME", "STOP"):
        raise pickle.UnpicklingError(f"expected numbers, text, lists and arrays, got {name}")


def _pop(stack: list[int], count: int) -> list[int]:
    taken = [stack.pop() for _ in range(count)]
    if -1 in taken:
        raise pickle.UnpicklingError("damaged")
    return taken


def _pop_to_mark(stack: list[int]) -> list[int]:
    taken = []
    while (depth := stack.pop()) != -1:
        taken.append(depth)
    return taken
