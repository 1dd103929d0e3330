"""Tests import the package as installed."""

import lab.api
from lab.api import Post, digest, hash_password


async def test_hash():
    assert hash_password(b"x")  # expect-via: cpu-bound


async def test_digest():
    assert digest(b"x")  # clean: a small hash


async def test_thumbnail(tmp_path):
    assert lab.api.thumbnail(tmp_path)  # expect-via: cpu-bound


async def test_mail():
    assert Post("localhost").send("x")  # expect-via: blocking-net


async def test_address():
    assert lab.api.address("localhost")  # expect-via: blocking-net


def test_sync():
    assert hash_password(b"x")  # clean: sync code
