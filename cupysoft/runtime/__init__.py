"""How a kernel reaches a device: its source, its compilation, its launch.

The modules are imported by name; this file imports none, so that a warm start loads no more than it needs.
"""

__all__: list[str] = []
