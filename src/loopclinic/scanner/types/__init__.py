"""Inference of types: what a value of the scanned code may be."""
