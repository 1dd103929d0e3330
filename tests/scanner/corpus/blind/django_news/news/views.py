from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse

from .models import Article
from .ranking import top_titles


async def article(request: HttpRequest, slug: str) -> HttpResponse:
    found = Article.objects.get(slug=slug)  # expect: blocking-db
    found.count_read()  # expect-via: blocking-db
    return JsonResponse({"title": str(found)})  # clean: a title


async def article_well(request: HttpRequest, slug: str) -> HttpResponse:
    found = await Article.objects.aget(slug=slug)  # clean: Django's async method
    await sync_to_async(found.count_read)()  # clean: in Django's thread
    return JsonResponse({"title": found.title})


async def newest(request: HttpRequest) -> HttpResponse:
    titles = [one.title async for one in Article.objects.all()[:10]]  # clean: async iteration
    return JsonResponse({"titles": titles})


async def create(request: HttpRequest) -> HttpResponse:
    Article.objects.create(slug=request.POST["slug"], title=request.POST["title"])  # expect: blocking-db
    return HttpResponse(status=201)


async def top(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"titles": top_titles(5)})  # expect-via: blocking-db


def archive(request: HttpRequest) -> HttpResponse:
    titles = [one.title for one in Article.objects.all()]  # clean: a plain view runs in a thread
    return JsonResponse({"titles": titles})


@sync_to_async
def _delete(slug: str) -> None:
    Article.objects.filter(slug=slug).delete()  # clean: in Django's thread


async def delete(request: HttpRequest, slug: str) -> HttpResponse:
    await _delete(slug)  # clean: in Django's thread
    return HttpResponse(status=204)
