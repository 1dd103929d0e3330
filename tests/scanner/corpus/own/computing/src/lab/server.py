"""A protocol and its checks: methods that the loop calls itself."""

import asyncio
import hashlib
import json
import socket
import urllib.request
from urllib.request import urlopen

import bcrypt
from lab import engine


class Wire(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport  # clean: stores it

    def data_received(self, data):
        self.transport.write(json.dumps(urlopen(data.decode()).status).encode())  # expect: blocking-http


async def check(password, stored):
    if not bcrypt.checkpw(password, stored):  # expect: cpu-bound
        raise PermissionError
    return hashlib.pbkdf2_hmac("sha256", password, b"salt", 600_000)  # expect: cpu-bound


async def check_in_thread(password, stored):
    return await asyncio.to_thread(bcrypt.checkpw, password, stored)  # clean: run in a thread


async def count():
    return sum(number * number for number in range(10_000_000))  # expect: cpu-bound


async def count_few():
    return sum(number * number for number in range(100))  # clean: few


async def resolve(host):
    socket.getaddrinfo(host, 80)  # expect: blocking-net
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, 80)  # clean: the loop's own


async def talk(host):
    wire = socket.socket()
    wire.connect((host, 80))  # expect: blocking-net
    wire.sendall(b"x")  # expect: blocking-net
    return wire.recv(10)  # expect: blocking-net


async def download(url):
    with urllib.request.urlopen(url) as answer:  # expect: blocking-http
        return answer.read()  # clean: part of what was begun above


async def mail(message):
    sender = engine.Mailer("localhost")  # clean: only stores the host
    sender.send(message)  # expect-via: blocking-net
    send = sender.send
    send(message)  # expect-via: blocking-net


async def unknown(client, session, db):
    client.get("x")  # clean: nothing is known about it
    session.commit()  # clean: nothing is known about it
    db.cursor().execute("x")  # clean: nothing is known about it
