"""Recordings: naming, saving, loading, drawing."""

import json

import pytest

from loopclinic.lessons.playground.recording import (
    Change,
    Point,
    Recording,
    RecordingError,
    folder,
    recordings,
)
from loopclinic.lessons.playground.recording_picture import picture, png
from loopclinic.lessons.playground.settings import Settings

POINTS = [
    Point(10 + n / 4, p50=0.02, p99=0.1 + n / 10, answered=99.0, failed=n % 2) for n in range(9)
]
CHANGES = [Change(5.0, {"rate": 50}), Change(11.0, {"share": 0.02, "remedy": "thread"})]


@pytest.fixture
def kept():
    return Recording.of("Two percent / first", Settings(), POINTS, CHANGES)


def test_it_counts_from_its_first_point_and_begins_as_the_controls_stood_then(kept):
    assert (kept.points[0].at, kept.seconds) == (0.0, 2.0)
    assert kept.settings == Settings(rate=50)
    assert kept.changes == (Change(1.0, CHANGES[1].changed),)


def test_json_there_and_back(kept):
    assert Recording.from_json(kept.to_json()) == kept


def test_kept_and_found_again_the_latest_first(kept):
    file = kept.save()
    assert file.name == "two-percent-first.json"
    Recording("later", Settings(), kept.points, made="2999-01-01T00:00:00+00:00").save()
    (folder() / "broken.json").write_text("{")
    assert list(recordings()) == ["later", kept.name]
    assert recordings()[kept.name] == kept


def test_the_same_name_replaces(kept):
    kept.save()
    Recording(kept.name, Settings(rate=7), kept.points, made="2999").save()
    assert recordings()[kept.name].settings.rate == 7


@pytest.mark.parametrize("name", ["", "  ", "///", "../.."])
def test_a_name_without_a_letter_is_refused(name):
    with pytest.raises(RecordingError, match="letter or a digit"):
        Recording.of(name, Settings(), POINTS, [])


def test_a_name_can_not_leave_the_folder(kept):
    file = Recording.of("../../etc/passwd", Settings(), POINTS, []).save()
    assert file.parent == folder()


def test_nothing_measured_is_no_recording():
    with pytest.raises(RecordingError, match="Nothing has been measured"):
        Recording.of("empty", Settings(), [], [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "update it"),
        ({"points": []}, "holds no points"),
        ({"settings": {"rate": -1}}, "above zero"),
        ({"settings": {"color": 1}}, "no control named color"),
        ({"points": [["a"] * 10]}, "is no figure"),
        ({"points": [[1, 2]]}, "no recording of the playground"),
        ({"changes": [1]}, "no recording of the playground"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_reason(kept, change, words):
    with pytest.raises(RecordingError, match=words):
        Recording.from_json(json.dumps(json.loads(kept.to_json()) | change))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "nonsense"])
def test_any_other_file_is_refused(text):
    with pytest.raises(RecordingError):
        Recording.from_json(text)


def test_the_picture_says_both_in_words_and_is_a_png(kept):
    other = Recording.of("before", Settings(), POINTS[:5], [])
    drawn = picture(kept, other)
    assert "Two percent / first: 2 s, highest p99 900 ms" in drawn.alt
    assert "before: 1 s" in drawn.alt
    assert png(drawn).startswith(b"\x89PNG")


def test_words_of_changes_do_not_stand_in_each_other():
    points = [Point(n / 4, p99=0.1) for n in range(160)]
    changes = [
        Change(at, {"rate": 80, "service": 0.05, "spread": 1.0}) for at in (2, 8, 13, 14, 20, 39)
    ]
    figure = picture(Recording.of("crowded", Settings(), points, changes))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) >= 4
    assert not any(one.overlaps(other) for one in boxes for other in boxes if one is not other)
    assert all(box.x1 < figure.bbox.x1 for box in boxes)
