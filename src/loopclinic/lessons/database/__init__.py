"""Shared code of checks that use PostgreSQL: the lab's sessions, scenes, and the reasons in verdicts.

Read `sessions` first, then `scenes`, then `postgres_verdicts`.
"""
