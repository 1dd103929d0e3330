import json
import os


class Memory:
    def __init__(self, path):
        self.path = path
        self.turns = []

    def append(self, role, text):
        self.turns.append({"role": role, "text": text})

    def flush(self):
        tmp = self.path + ".tmp"
        with open(tmp, "w") as out:
            json.dump(self.turns, out)
        os.replace(tmp, self.path)

    def dumps(self):
        return json.dumps(self.turns)
