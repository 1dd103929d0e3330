import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Annotated

from fastapi import Depends, FastAPI, UploadFile
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from .tables import Upload

app = FastAPI()
SessionLocal = sessionmaker(create_engine("postgresql:///uploads"))
pool = ThreadPoolExecutor(4)
ROOT = Path("/srv/uploads")


def get_session():
    with SessionLocal() as session:
        yield session


DbSession = Annotated[Session, Depends(get_session)]


def thumbnail(path: Path) -> Path:
    target = path.with_suffix(".thumb")
    shutil.copy(path, target)
    return target


@app.post("/uploads")
async def store(file: UploadFile, session: DbSession):
    name = PurePosixPath(file.filename or "unnamed").name  # clean: a pure path
    with tempfile.NamedTemporaryFile(dir=ROOT, delete=False) as out:  # expect: blocking-file-io
        out.write(await file.read())  # expect: blocking-file-io
    session.add(Upload(name=name))  # clean: only noted, not sent
    session.commit()  # expect: blocking-db
    return {"name": name}


@app.get("/uploads")
def listed(session: DbSession):
    return session.scalars(select(Upload)).all()  # clean: a sync route runs in a thread


@app.post("/uploads/{name}/thumbnail")
async def make_thumbnail(name: str):
    made = await run_in_threadpool(thumbnail, ROOT / name)  # clean: the threadpool
    return {"path": str(made)}


@app.post("/uploads/{name}/thumbnail-now")
async def make_thumbnail_now(name: str):
    made = pool.submit(thumbnail, ROOT / name).result()  # expect: blocking-sync-primitive
    return {"path": str(made)}
