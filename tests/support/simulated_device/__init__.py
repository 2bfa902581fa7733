"""A device that is not the CPU, on a machine without one.

Its tensors claim the device `simulated:0` and hold their numbers on the CPU, where every operator is computed: what
comes out has the bits of the CPU. On the way it refuses what CUDA refuses (`refusals`), draws from a random stream of
its own (`backend`) and counts what would cost time on a GPU by line of source (`record`). `as_cuda` lets the code under
test find it where it would find CUDA.

torch cannot forget a device again, and knows only those that were there at its first backward pass. Tests that use it
live in a folder whose conftest runs them in a process of their own (`tests.support.own_process`).
"""
