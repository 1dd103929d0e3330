from .models import Article


def _ranked(limit: int) -> list[Article]:
    return list(Article.objects.order_by("-reads")[:limit])


def top_titles(limit: int) -> list[str]:
    return [one.title for one in _ranked(limit)]
