import sqlite3
import urllib.request


class SqliteLedger:
    def __init__(self, path):
        self.db = sqlite3.connect(path)

    def book(self, amount):
        self.db.execute("INSERT INTO bookings VALUES (?)", (amount,))


class MemoryMailer:
    def __init__(self):
        self.waiting = []

    async def send(self, text):
        self.waiting.append(text)

    def queue(self, text):
        self.waiting.append(text)


class WebRates:
    def rate(self, name):
        with urllib.request.urlopen(f"https://example.org/{name}") as reply:
            return float(reply.read())


class Unrelated:
    def queue(self, text):
        with open("queue.txt", "a") as file:
            file.write(text)
