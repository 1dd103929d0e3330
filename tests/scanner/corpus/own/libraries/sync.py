"""Blocking calls of libraries, in coroutines and in threads."""

import asyncio
import subprocess
from xml.etree import ElementTree

import chromadb
import ffmpeg
import git
import gspread
import joblib
import openpyxl
import oracledb
import paho.mqtt.client as mqtt
import peewee
import pydub
import pypdf
import speech_recognition
import speedtest
import spotipy
import tiktoken
import torch
import transformers
import whisper
import yt_dlp
from asgiref.sync import async_to_sync
from dotenv import load_dotenv
from google.oauth2 import id_token
from googleapiclient.discovery import build
from googleapiclient.http import MediaIoBaseDownload
from influxdb_client import InfluxDBClient
from langchain_chroma import Chroma
from langchain_community.document_loaders import PyPDFLoader
from langchain_openai import ChatOpenAI
from md2pdf.core import md2pdf
from pony.orm import db_session
from pymodbus.client import ModbusTcpClient
from selenium import webdriver
from serial.tools import list_ports
from tenacity import AsyncRetrying, Retrying
from weasyprint import HTML

llm = ChatOpenAI()
spotify = spotipy.Spotify()
speech = whisper.load_model("base")
classify = transformers.pipeline("sentiment")
chroma = chromadb.Client()
notes = chroma.get_or_create_collection("notes")


class Order(peewee.Model):
    pass


async def models(text):
    llm.invoke(text)  # expect: blocking-sdk
    await llm.ainvoke(text)  # clean: its async form
    llm.bind_tools([]).invoke(text)  # expect: blocking-sdk
    speech.transcribe(text)  # expect: cpu-bound
    classify(text)  # expect: cpu-bound
    tiktoken.get_encoding("x")  # expect: blocking-file-io
    transformers.AutoTokenizer.from_pretrained("x")  # expect: blocking-file-io
    torch.load(text)  # expect: blocking-file-io
    joblib.dump(text, "x")  # expect: blocking-file-io
    notes.query(query_texts=[text])  # expect: blocking-db
    await asyncio.to_thread(classify, text)  # clean: in a thread


async def files(path):
    pypdf.PdfReader(path)  # expect: cpu-bound
    book = openpyxl.load_workbook(path)  # expect: blocking-file-io
    book.save(path)  # expect: blocking-file-io
    sound = pydub.AudioSegment.from_file(path)  # expect: blocking-subprocess
    sound.export(path)  # expect: blocking-subprocess
    git.Repo.clone_from("x", path)  # expect: blocking-subprocess
    git.Repo(path).git.checkout("main")  # expect: blocking-subprocess
    load_dotenv()  # expect: blocking-file-io


async def network(url):
    with yt_dlp.YoutubeDL({}) as loader:
        loader.extract_info(url)  # expect: blocking-http
    id_token.verify_oauth2_token(url, None)  # expect: blocking-http
    spotify.current_user()  # expect: blocking-sdk
    client = mqtt.Client()
    client.connect(url)  # expect: blocking-net
    client.publish("a", "b")  # clean: the thread of loop_start sends it
    meter = ModbusTcpClient(url)
    meter.read_holding_registers(1)  # expect: blocking-net
    speech_recognition.Recognizer().listen(url)  # expect: blocking-http


async def databases(url):
    with oracledb.connect(url) as conn:  # expect: blocking-db
        conn.cursor().execute("select 1")  # expect: blocking-db
    Order.create(name="x")  # expect: blocking-db
    for order in Order.select().where(1):  # expect: blocking-db
        print(order)
    Order.select().where(2)  # clean: not yet executed
    InfluxDBClient(url).query_api().query("x")  # expect: blocking-db


async def bridged(work):
    async_to_sync(work)()  # expect: nested-loop
    for attempt in Retrying():  # expect: blocking-retry
        print(attempt)
    async for attempt in AsyncRetrying():  # clean: its async form
        print(attempt)


async def watched(order):
    with db_session:  # expect: blocking-db
        order.seen = True
    return [port.device for port in list_ports.comports()]  # expect: blocking-file-io


@db_session
def stored(order):  # clean: nobody calls it from a coroutine
    order.seen = True


async def pages(path, rows):
    md2pdf(path)  # expect: cpu-bound
    HTML(path).write_pdf()  # expect: cpu-bound
    ElementTree.parse(path)  # expect: blocking-file-io
    ElementTree.fromstring(rows)  # clean: it is a text
    PyPDFLoader(path).load()  # expect: blocking-file-io
    await PyPDFLoader(path).aload()  # clean: its async form
    store = Chroma()
    store.add_documents(rows)  # expect: blocking-sdk
    await store.aadd_documents(rows)  # clean: its async form
    ffmpeg.input(path).output("x").run()  # expect: blocking-subprocess
    ffmpeg.input(path).output("x")  # clean: not yet run
    child = subprocess.Popen(path)  # expect: blocking-subprocess
    child.stdout.read()  # expect: blocking-subprocess
    child.stdin.write(path)  # clean: it goes into a pipe


async def browsed(url):
    driver = webdriver.Chrome()  # expect: blocking-sdk
    driver.get(url)  # expect: blocking-sdk
    driver.find_element("id", "x").click()  # expect: blocking-sdk
    driver.set_window_size(1, 2)  # clean: a moment


async def clouds(url, file):
    drive = build("drive", "v3")  # expect: blocking-sdk
    drive.files().get(fileId=url).execute()  # expect: blocking-sdk
    media = drive.files().get_media(fileId=url)  # clean: not yet asked
    MediaIoBaseDownload(file, media).next_chunk()  # expect: blocking-sdk
    gspread.service_account().open(url).sheet1.get_all_values()  # expect: blocking-http
    origin = git.Repo(url).create_remote("origin", url)
    origin.fetch()  # expect: blocking-net
    git.Repo(url).remotes.origin.push()  # expect: blocking-net
    test = speedtest.Speedtest()  # expect: blocking-net
    test.download()  # expect: blocking-net
