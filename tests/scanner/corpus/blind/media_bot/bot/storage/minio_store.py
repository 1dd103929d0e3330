import io
from datetime import timedelta

from minio import Minio
from minio.error import S3Error


class MinioStore:
    """Pictures of posts, in one bucket."""

    def __init__(self, endpoint: str, bucket: str = "media") -> None:
        self.minio = Minio(endpoint, access_key="bot", secret_key="bot", secure=False)
        self.bucket = bucket
        self._ready = False

    def ensure_bucket(self) -> None:
        if not self._ready:
            if not self.minio.bucket_exists(self.bucket):
                self.minio.make_bucket(self.bucket)
            self._ready = True

    async def save(self, name: str, body: bytes) -> str:
        self.ensure_bucket()  # expect-via: blocking-sdk
        self.minio.put_object(self.bucket, name, io.BytesIO(body), len(body))  # expect: blocking-sdk
        return self.url(name)  # clean: joins two strings

    async def exists(self, name: str) -> bool:
        try:
            self.minio.stat_object(self.bucket, name)  # expect: blocking-sdk
        except S3Error:
            return False
        return True

    def url(self, name: str) -> str:
        return f"/{self.bucket}/{name}"

    def lifetime(self) -> timedelta:
        return timedelta(hours=1)
