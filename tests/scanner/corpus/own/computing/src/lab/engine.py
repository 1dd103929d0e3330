"""Hashes, pictures, sockets: re-exported by the package's api."""

import hashlib
import smtplib
import socket

import bcrypt
from PIL import Image


def hashed(password: bytes) -> bytes:
    return bcrypt.hashpw(password, bcrypt.gensalt())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def thumbnail(path):
    picture = Image.open(path)
    picture.thumbnail((128, 128))
    return picture


class Mailer:
    def __init__(self, host):
        self.host = host

    def send(self, message):
        with smtplib.SMTP(self.host) as server:
            server.send_message(message)


def address(host):
    return socket.gethostbyname(host)
