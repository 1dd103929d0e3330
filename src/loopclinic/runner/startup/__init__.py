"""Folder put first on a watched program's PYTHONPATH, so that its `sitecustomize` starts the observer."""
