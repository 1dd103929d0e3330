# -*- coding: iso-8859-1 -*-
"""Meldung der Liegeplätze an das Hafenamt Büsum, als Datei mit festen Spalten."""

import asyncio
import ftplib
import io

FELDER = (("Straße", 30), ("Länge", 6), ("Tiefgang", 6))


def zeile(werte):
    """Eine Zeile; was zu lang ist, wird gekürzt."""
    return "".join(str(wert)[:breite].ljust(breite) for wert, (_, breite) in zip(werte, FELDER))


def übertrage(host, zeilen):
    with ftplib.FTP(host, timeout=30) as ftp:
        ftp.login("moorings")
        inhalt = "\r\n".join(zeilen).encode("iso-8859-1", "replace")
        ftp.storbinary("STOR liegeplaetze.txt", io.BytesIO(inhalt))


async def melde(host, zeilen):
    # das Amt erlaubt nur eine Verbindung zur Zeit
    übertrage(host, zeilen)
    await asyncio.sleep(1)
