"""A bot's storage: redis for sessions, S3 for voice messages."""

import functools
import os
import pathlib
import tempfile

import boto3
import redis
from minio import Minio

cache = redis.Redis(host="localhost")
s3 = boto3.client("s3")
BASE = pathlib.Path(__file__).parent / "voices"
_minio = None


def minio():
    global _minio
    if _minio is None:
        _minio = Minio("localhost:9000")
    return _minio


class Voices:
    def __init__(self, bucket, client=None):
        self.bucket = bucket
        self.client = client or boto3.client("s3", region_name="eu-west-1")

    def upload(self, key, data):
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def save_locally(self, name, data):
        target = BASE / name
        target.write_bytes(data)
        return target

    def url(self, key):
        return self.client.generate_presigned_url("get_object", Params={"Key": key})

    @functools.cached_property
    def names(self):
        return [page["Key"] for page in self.client.list_objects_v2(Bucket=self.bucket)["Contents"]]


def remember(user, text):
    pipe = cache.pipeline()
    pipe.lpush(user, text)
    pipe.ltrim(user, 0, 20)
    pipe.execute()


def scratch(data):
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(data)
    return file.name


def path_of(name):
    return os.path.join("voices", name)


def each_name(prefix):
    for page in s3.get_paginator("list_objects_v2").paginate(Prefix=prefix):
        yield page["Key"]
