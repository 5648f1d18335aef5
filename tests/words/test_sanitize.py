"""What leaves: no secret, no control character, no value of pages, and every command whole."""

from __future__ import annotations

import shlex

import pytest

from adept_hub.errors import AdeptError, SourceError, UnknownModelError
from adept_hub.words.sanitize import clean, printable, redact, shorten

TOKEN = "hf_" + "aB3" * 11 + "x"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (f"token {TOKEN} refused", "token hf_*** refused"),
        (f"['{TOKEN}']", "['hf_***']"),
        (f"X-Token={TOKEN};", "X-Token=hf_***;"),
        ("api_org_" + "a1" * 17, "api_org_***"),
        ("http://me:secret@host:8080/x", "http://***@host:8080/x"),
        ("HTTPS://me@host/x and http://a:b@c", "HTTPS://***@host/x and http://***@c"),
        ("http://user:p@ss@host/a@b", "http://***@host/a@b"),
        ("socks5h://me:secret@host", "socks5h://***@host"),
        ("Authorization: Bearer abcdefghijk.l", "Authorization: Bearer ***"),
        ("https://cdn/x?a=1&X-Amz-Signature=abc&b=2", "https://cdn/x?a=1&X-Amz-Signature=***&b=2"),
        ("https://cdn/x?Key-Pair-Id=K1&Signature=ab~c_", "https://cdn/x?Key-Pair-Id=***&Signature=***"),
    ],
)
def test_secrets_are_masked(text: str, safe: str) -> None:
    assert redact(text) == safe
    assert redact(safe) == safe


@pytest.mark.parametrize(
    "text",
    [
        "hf_hub_download of hf-hub:org/name@main: see hf_xet, hf_transfer, hf_token",
        "hf auth login (or set HF_TOKEN)",
        "https://huggingface.co/org/name/resolve/main/a@b",
        "adept://adept_joint@v1 and me@example.org",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_the_token_of_the_environment_is_masked_whatever_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "my-own-secret")
    assert redact("got 'my-own-secret'") == "got '***'"
    monkeypatch.setenv("HF_TOKEN", "a")  # of which every word would be full
    assert redact("a cat") == "a cat"


def test_control_characters_are_dropped_and_letters_of_the_world_are_not() -> None:
    assert printable("a\x1b[31mb\x07\x9b2J\x7fc\r\u202ed\u2028e") == "a[31mb2Jcde"
    assert printable("Straße 東京 שלום 👩\u200d🔬\n\tx") == "Straße 東京 שלום 👩\u200d🔬\n\tx"
    assert str(AdeptError("photo\x1b]0;owned\x07.jpg\nis not one")) == "photo]0;owned.jpg\nis not one"


@pytest.mark.parametrize("quote", ["'{}'", '"{}"', "{}"])
@pytest.mark.parametrize("letter", ["x", "x y ", "\\\\"])
def test_a_value_of_pages_is_shortened(quote: str, letter: str) -> None:
    line = f"The name {quote.format(letter * 10_000)} is not known.\nEvery name: adept list"
    if letter != "x y " or quote != "{}":
        assert len(clean(line)) < 400
    assert len(clean(line)) < 1200
    assert clean(line).startswith("The name ")
    assert clean(line).endswith("is not known.\nEvery name: adept list")


def test_a_value_of_three_hundred_characters_is_not() -> None:
    assert shorten(f"The name {'x' * 298!r} is not known.") == f"The name {'x' * 298!r} is not known."


@pytest.mark.parametrize("path", ["/a" * 300, "/a b" * 300, "/it's" * 300])
def test_a_command_stays_whole(path: str) -> None:
    command = f"adept pull {shlex.quote(path)} --force"
    told = str(SourceError(f"{path!r} was changed.\nFetch it again: {command}"))
    assert told.endswith(command)
    assert len(told.splitlines()[0]) < 400
    assert shlex.split(told.splitlines()[1].partition(": ")[2]) == ["adept", "pull", path, "--force"]


def test_a_value_that_looks_like_a_command_is_still_a_value() -> None:
    name = "': rm -rf " + "x" * 10_000
    assert len(str(SourceError(f"{name!r} is not a source."))) < 400
    assert len(str(UnknownModelError(name, []))) < 500


def test_a_message_of_megabytes_takes_no_time() -> None:
    assert len(clean("'" * 5_000_000)) < 2000
    assert len(clean("a' b" * 1_000_000)) < 2000
