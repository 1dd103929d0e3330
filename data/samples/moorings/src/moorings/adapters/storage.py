"""Documents and pictures, in object storage."""

import asyncio
import io
from datetime import timedelta

from minio import Minio
from PIL import Image

from ..config import get_settings


class DocumentStore:
    bucket = "moorings"

    def __init__(self) -> None:
        settings = get_settings()
        self._minio = Minio(
            settings.storage_endpoint,
            access_key=settings.storage_key,
            secret_key=settings.storage_secret,
            secure=settings.is_production,
        )
        self._checked = False

    async def _ensure_bucket(self) -> None:
        if not self._checked:
            if not self._minio.bucket_exists(self.bucket):
                self._minio.make_bucket(self.bucket)
            self._checked = True

    async def put(self, name: str, body: bytes, kind: str = "application/pdf") -> None:
        await self._ensure_bucket()
        await asyncio.to_thread(
            self._minio.put_object, self.bucket, name, io.BytesIO(body), len(body), kind
        )

    async def get(self, name: str) -> bytes:
        response = self._minio.get_object(self.bucket, name)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    async def put_picture(self, name: str, body: bytes) -> None:
        await self.put(name, body, "image/jpeg")
        await self.put(f"small/{name}", self._shrink(body), "image/jpeg")

    def _shrink(self, body: bytes, side: int = 320) -> bytes:
        picture = Image.open(io.BytesIO(body))
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        picture.convert("RGB").save(out, "JPEG", quality=80)
        return out.getvalue()

    def link(self, name: str) -> str:
        return self._minio.presigned_get_object(self.bucket, name, timedelta(hours=1))
