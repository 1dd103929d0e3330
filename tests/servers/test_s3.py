"""S3: which server is used, its key, its errors, and its end with its owner."""

import io
import os
import signal
import subprocess
import sys

import psutil
import pytest
from minio import Minio
from minio.error import S3Error
from urllib3 import PoolManager, Retry
from urllib3.exceptions import MaxRetryError

from loopclinic.servers import SERVICES, s3

OWNER = """
import sys
from loopclinic.servers.s3 import s3
with s3() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    monkeypatch.delenv(s3.VARIABLE, raising=False)


def test_it_keeps_objects_for_its_key_and_for_nobody_without():
    with SERVICES["s3"]() as url:
        client = Minio(**s3.access(url))
        client.make_bucket("pictures")
        client.put_object("pictures", "a/b.png", io.BytesIO(b"x" * 100_000), 100_000)
        with client.get_object("pictures", "a/b.png") as answer:
            assert answer.read() == b"x" * 100_000
        with pytest.raises(S3Error, match="NoSuchKey"):
            client.get_object("pictures", "c.png")
        with pytest.raises(S3Error, match="BucketAlreadyOwnedByYou"):
            client.make_bucket("pictures")
        stranger = Minio(**s3.access(url) | {"access_key": "somebody"})
        with pytest.raises(S3Error, match="AccessDenied"):
            stranger.list_buckets()
        s3.remove(client, "pictures")
        s3.remove(client, "pictures")
        assert client.list_buckets() == []
    gone = Minio(**s3.access(url), http_client=PoolManager(retries=Retry(0)))
    with pytest.raises(MaxRetryError):
        gone.list_buckets()


def test_it_ends_with_its_owner_however_that_ends():
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        url = owner.stdout.readline()
        assert url.startswith("http://")
        secret = s3.access(url)["secret_key"]
        children = psutil.Process(owner.pid).children(recursive=True)
        assert children
        assert not any(secret in word for one in children for word in one.cmdline())
        os.kill(owner.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_an_address_in_the_environment_comes_first(monkeypatch):
    monkeypatch.setenv(s3.VARIABLE, "https://me:a%2Fb@storage.example:9000")
    with s3.s3() as url:
        assert s3.access(url) == {
            "endpoint": "storage.example:9000",
            "access_key": "me",
            "secret_key": "a/b",
            "secure": True,
            "region": s3.REGION,
        }
