"""Inference of types: what a value of the scanned code may be."""

from loopclinic.scanner.types.inference import Inference

__all__ = ["Inference"]
