"""The instrument outside the notebook: any program under the probe, and the page that comes of it.

Needs the standard library only. Imports nothing here: pytest loads its plugin from this package at
every start, whether it is asked for or not.
"""
