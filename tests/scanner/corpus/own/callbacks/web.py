"""Frameworks that call sync handlers on the loop, and some that do not."""

import time

import fastapi
import socketio
import tornado.ioloop
import tornado.web
import tornado.websocket
from sanic import Blueprint, Sanic

sio = socketio.AsyncServer()
threaded = socketio.Server()
app = Sanic("shop")
pages = Blueprint("pages")
api = fastapi.FastAPI()


@sio.event
def connect(sid, environ):
    time.sleep(1)  # expect: blocking-sleep


@sio.on("order", namespace="/shop")
def order(sid, data):
    slow()  # expect-via: blocking-sleep


@threaded.on("order")
def order_in_a_thread(sid, data):
    time.sleep(1)  # clean: this server runs handlers in threads


def slow():
    time.sleep(1)  # clean: told where it is called


def typed(sid, data):
    slow()


sio.on("typed", handler=typed)  # expect-via: blocking-sleep


@app.get("/")
def index(request):
    time.sleep(1)  # expect: blocking-sleep


@pages.route("/about", methods=["GET"])
def about(request):
    slow()  # expect-via: blocking-sleep


@api.get("/")
def root():
    time.sleep(1)  # clean: FastAPI runs it in a thread


class Base(tornado.web.RequestHandler):
    def prepare(self):
        slow()  # expect-via: blocking-sleep


class Page(Base):
    def get(self, name):
        time.sleep(1)  # expect: blocking-sleep

    def helper(self):
        time.sleep(1)  # clean: nobody calls it


class Room(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        slow()  # expect-via: blocking-sleep


def start():
    tornado.ioloop.PeriodicCallback(slow, 1000).start()  # expect-via: blocking-sleep
    tornado.ioloop.IOLoop.current().add_callback(slow)  # expect-via: blocking-sleep
    tornado.ioloop.IOLoop.current().run_in_executor(None, slow)  # clean: in a thread
