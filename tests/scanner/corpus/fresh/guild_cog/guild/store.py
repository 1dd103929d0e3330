import sqlite3


def connect(path="guild.db"):
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    return db


class Warnings:
    def __init__(self, db):
        self.db = db

    def add(self, member_id, reason):
        self.db.execute("INSERT INTO warnings VALUES (?, ?)", (member_id, reason))
        self.db.commit()

    def of(self, member_id):
        return self.db.execute("SELECT * FROM warnings WHERE member = ?", (member_id,)).fetchall()
