"""Files that are opened under another name: imports, certificates, logs, settings, archives."""

import asyncio
import configparser
import dbm
import importlib
import importlib.metadata
import logging
import logging.handlers
import shelve
import ssl
from importlib import import_module

import httpx
import psutil
from fastapi import FastAPI, UploadFile
from openai import AsyncOpenAI

app = FastAPI()
context = ssl.create_default_context()  # clean: once, before any loop
client = httpx.AsyncClient(verify=context)  # clean: once, before any loop


async def plugin(name):
    module = importlib.import_module(f"plugins.{name}")  # expect: blocking-file-io
    other = import_module(name)  # expect: blocking-file-io
    again = __import__(name)  # expect: blocking-file-io
    await asyncio.to_thread(importlib.import_module, name)  # clean: in a thread
    importlib.reload(module)  # expect: blocking-file-io
    return module, other, again


async def table(path):
    import pandas  # expect: blocking-file-io

    return await asyncio.to_thread(pandas.read_csv, path)


async def small():
    import json  # clean: of the standard library, and long loaded

    return json.dumps({})


def lazily():
    import torch

    return torch


async def model():
    return lazily()  # expect-via: blocking-file-io


async def certificates():
    made = ssl.create_default_context()  # expect: blocking-file-io
    made.load_cert_chain("a.pem")  # expect: blocking-file-io
    made.load_verify_locations("b.pem")  # expect: blocking-file-io
    bare = ssl.SSLContext()
    bare.load_default_certs()  # expect: blocking-file-io
    bare.check_hostname = False  # clean: reads nothing
    return bare


async def logs(folder):
    logging.basicConfig(filename=folder)  # expect: blocking-file-io
    logging.basicConfig(level=10)  # clean: to the terminal
    handler = logging.FileHandler(folder)  # expect: blocking-file-io
    turning = logging.handlers.RotatingFileHandler(folder)  # expect: blocking-file-io
    timed = logging.handlers.TimedRotatingFileHandler(folder)  # expect: blocking-file-io
    logging.info("in a queue")  # clean: a record in memory, or the handler's matter
    return handler, turning, timed


async def settings(path):
    parser = configparser.ConfigParser()
    parser.read(path)  # expect: blocking-file-io
    parser.read_string("[a]")  # clean: of a string
    shelf = shelve.open(path)  # expect: blocking-file-io
    base = dbm.open(path)  # expect: blocking-file-io
    version = importlib.metadata.version("httpx")  # expect: blocking-file-io
    return shelf, base, version


async def asked(url, key):
    async with httpx.AsyncClient(timeout=5) as one:  # expect: blocking-file-io
        answer = await one.get(url)
    await AsyncOpenAI(api_key=key).models.list(timeout=5)  # expect: blocking-file-io
    async with httpx.AsyncClient(verify=context, timeout=5) as other:  # clean: its certificates are loaded
        await other.get(url)
    shared = AsyncOpenAI(api_key=key, http_client=client)  # clean: over the client that is there
    await shared.models.list(timeout=5)
    bare = await asyncio.to_thread(httpx.AsyncClient)  # clean: made in a thread
    await bare.aclose()
    return answer


async def load():
    psutil.cpu_percent(interval=1)  # expect: blocking-sleep
    psutil.cpu_percent()  # clean: since the last call
    psutil.cpu_times_percent(interval=0.5)  # expect: blocking-sleep


@app.post("/upload")
async def upload(file: UploadFile):
    first = await file.read(10)  # clean: in a thread, by the framework
    rest = file.file.read()  # expect: blocking-file-io
    return first, rest


@app.post("/upload-in-a-thread")
async def upload_in_a_thread(file: UploadFile):
    return await asyncio.to_thread(file.file.read)  # clean: in a thread
