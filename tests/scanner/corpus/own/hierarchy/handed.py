"""Objects and classes that are handed to constructors and functions, which use them later."""

import requests


class Remote:
    def get(self):
        return requests.get("https://shop.example")


class Local:
    def get(self):
        return {}


class Service:
    def __init__(self, source):
        self.source = source

    async def page(self):
        return self.source.get()  # expect-via: blocking-http


class Orders(Service):
    def __init__(self):
        super().__init__(Remote())


class Rows:
    def __init__(self, source):
        self.source = source

    async def page(self):
        return self.source.get()  # expect-via: blocking-http


class Lines(Rows):
    pass


LINES = Lines(Remote())


class Crud:
    def __init__(self, model):
        self.one = model()
        self.model = model

    async def page(self):
        return self.one.get()  # expect-via: blocking-http

    async def again(self):
        return self.model().get()  # expect-via: blocking-http


class Users(Crud):
    def __init__(self):
        super().__init__(model=Remote)


async def asked(kind):
    return kind().get()  # expect-via: blocking-http


async def asked_at_home(kind):
    return kind().get()  # clean: nothing of it blocks


def made(kind):
    return kind()


async def page():
    await asked(Remote)
    await asked_at_home(Local)
    return made(Remote).get()  # expect-via: blocking-http


class Store:
    def __init__(self, model):
        self.rows = model()


class First(Store):
    def __init__(self):
        super().__init__(Local)


class Second(Store):
    def __init__(self):
        super().__init__(Crud)


class Third(Store):
    def __init__(self):
        super().__init__(Rows)


class Fourth(Store):
    def __init__(self):
        super().__init__(Service)


class Supplier:
    def ordered(self):
        return requests.get("https://supplier.example")


class Fifth(Store):
    def __init__(self):
        super().__init__(Supplier)

    async def page(self):
        return self.rows.ordered()  # expect-via: blocking-http
