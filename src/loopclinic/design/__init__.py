"""Compares designs under the same load: figures, stalls, scanner findings, and one page."""
