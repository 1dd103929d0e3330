import asyncio
import io
from concurrent.futures import ProcessPoolExecutor

from PIL import Image, ImageFilter

_processes = ProcessPoolExecutor(2)


def _thumbnail(body: bytes, side: int) -> bytes:
    image = Image.open(io.BytesIO(body))
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


async def avatar(body: bytes) -> bytes:
    return _thumbnail(body, 128)  # expect-via: cpu-bound


async def preview(body: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_processes, _thumbnail, body, 512)  # clean: another process


async def blur(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(12))  # expect: cpu-bound
