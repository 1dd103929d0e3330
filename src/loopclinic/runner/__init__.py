"""Runs any program under the probe, also from a notebook or pytest, and reports its loops.

Needs the standard library only. Imports nothing here: pytest loads its plugin from this package at
every start, whether it is asked for or not.
"""
