"""Reads the event loops of another process from outside, for `loopclinic attach`."""
