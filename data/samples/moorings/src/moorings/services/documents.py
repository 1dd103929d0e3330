"""Contracts and invoices as PDF."""

import asyncio
import logging
import os
import subprocess
import tempfile
from pathlib import Path

from ..adapters.storage import DocumentStore
from ..billing import Invoice
from ..config import get_settings

logger = logging.getLogger(__name__)


def html_of(invoice: Invoice) -> str:
    rows = "".join(
        f"<tr><td>{line.description}</td><td>{line.cents / 100:.2f}</td></tr>" for line in invoice.lines
    )
    return f"<h1>Invoice {invoice.number}</h1><table>{rows}</table>"


def render_pdf(html: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(html)
        target = Path(folder) / "page.pdf"
        subprocess.run(["weasyprint", str(source), str(target)], check=True, timeout=60)
        return target.read_bytes()


class Documents:
    def __init__(self, store: DocumentStore) -> None:
        self.store = store
        self._rendering = asyncio.Semaphore(2)

    async def invoice(self, invoice: Invoice) -> str:
        name = f"invoices/{invoice.number}.pdf"
        body = render_pdf(html_of(invoice))
        await self.store.put(name, body)
        return self.store.link(name)

    async def invoice_in_background(self, invoice: Invoice) -> None:
        async with self._rendering:
            body = await asyncio.to_thread(render_pdf, html_of(invoice))
        await self.store.put(f"invoices/{invoice.number}.pdf", body)

    async def contract(self, booking_id: int) -> bytes:
        path = get_settings().documents / f"{booking_id}.pdf"
        if not os.path.exists(path):
            os.makedirs(path.parent, exist_ok=True)
            with open(path, "wb") as file:
                file.write(await self.store.get(f"contracts/{booking_id}.pdf"))
        return path.read_bytes()

    async def scan_for_viruses(self, body: bytes) -> bool:
        process = await asyncio.create_subprocess_exec("clamdscan", "-", stdin=asyncio.subprocess.PIPE)
        await process.communicate(body)
        return process.returncode == 0
