"""Plans, runs, stores and queries audits; the only package that imports Ray."""

from tasks.runtime.environment import remove_kernel_choices

remove_kernel_choices()  # before NumPy and torch are loaded, which read it
