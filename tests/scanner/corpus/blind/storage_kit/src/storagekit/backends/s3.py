import boto3

from .abstract import Storage


class S3Storage(Storage):
    prefix = "documents/"

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.s3 = boto3.client("s3")

    def _write(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def put(self, name: str, body: bytes) -> str:
        return super().put(name, body)

    def link(self, name: str) -> str:
        return self.s3.generate_presigned_url(
            "get_object", Params={"Bucket": self.bucket, "Key": self.key(name)}
        )
