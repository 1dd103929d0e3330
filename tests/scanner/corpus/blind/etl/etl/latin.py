# -*- coding: latin-1 -*-
"""Reads the export of the Zürich office."""

import time
from pathlib import Path

FELD = "Straße"


async def lies(datei: Path) -> str:
    text = datei.read_text("latin-1")  # expect: blocking-file-io
    return text.replace(FELD, "Str.")  # clean: works on a string


async def warte(größe: int) -> None:
    time.sleep(größe / 1000)  # expect: blocking-sleep
