"""The process: devices, random streams, clocks, modes of modules, weights as files."""
