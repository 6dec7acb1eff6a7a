"""How a kernel reaches a device: its source, its compilation, its launch."""
