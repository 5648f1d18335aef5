"""An HF_ENDPOINT that is not a URL is the user's mistake, told before the client is imported with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import adept_hub
from adept_hub.errors import DownloadError, PublishError
from adept_hub.hub.endpoint import check_endpoint


@pytest.mark.parametrize("address", ["http://[::1", "http://u:secret@127.0.0.1:notaport", "http://a:99999"])
def test_it_is_refused_without_its_password(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(PublishError, match="HF_ENDPOINT is not a valid URL") as caught:
        check_endpoint(PublishError)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "https://huggingface.co", "http://[::1]:80", "hub.example/x"])
def test_others_are_the_client_s_to_judge(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    check_endpoint(DownloadError)


def test_every_command_of_the_hub_tells_it() -> None:
    bundled = next((Path(adept_hub.__file__).parent / "bundled").glob("adept*"))
    for words in (("pull", "hf-hub:org/x"), ("push", str(bundled), "org/x")):
        done = subprocess.run(
            [sys.executable, "-m", "adept_hub.cli.main", *words],
            env=os.environ | {"HF_ENDPOINT": "http://[::1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith("adept: HF_ENDPOINT is not a valid URL (Invalid IPv6 URL): http://[::1\n")
