"""HTTPS with a certificate of one's own, a proxy that tunnels, and Xet: the real clients, in processes of their own.

The Xet storage is the one that hf_xet itself has for its tests: a folder, named ``local://``.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from adept_hub.checkpoint.folder import WEIGHTS
from tests.hub.loopback import Hub
from tests.hub.loopback_state import OWNER
from tests.hub.processes import Fetching, Pushing
from tests.hub.proxy import Proxy

NOBODY: dict[str, str | None] = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path) -> dict[str, str | None]:
    """The environment of one who trusts the authority; the variable's name depends on the client's version."""
    path = str(tmp_path / "authority.pem")
    authority.cert_pem.write_to_path(path)
    return {"SSL_CERT_FILE": path}


@pytest.fixture
def secure(authority: trustme.CA, hub: Hub, published) -> Iterator[Hub]:
    """The same repositories by HTTPS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = ("127.0.0.1", "localhost", "hub.internal", "store.internal")
    authority.issue_cert(*names).configure_cert(context)
    server = Hub(context)
    server.repos, server.lfs = hub.repos, hub.lfs
    server.start()
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_a_certificate_that_is_trusted_and_one_that_is_not(secure: Hub, trusting, tmp_path: Path) -> None:
    trusted = Fetching("hf-hub:org/small", tmp_path / "a", HF_ENDPOINT=secure.endpoint, **trusting)
    assert trusted.outcome() == "200"
    secure.log.clear()
    told = Fetching("hf-hub:org/small", tmp_path / "b", HF_ENDPOINT=secure.endpoint, IMPATIENT="1").outcome()
    assert told.startswith(f"DownloadError: org/small: the certificate of {secure.endpoint} is not trusted: ")
    assert "SSL_CERT_FILE" in told
    assert len(told.splitlines()) == 2
    assert secure.log == []


def test_a_proxy_that_tunnels_and_wants_a_password(secure: Hub, trusting, tmp_path: Path) -> None:
    """Neither name exists but for the proxy; through the tunnel go only bytes that it cannot read."""
    secure.cdn = "https://store.internal"
    proxy = Proxy(("127.0.0.1", secure.server.server_port), password="me:secret")
    try:
        environment = NOBODY | trusting | {"HF_ENDPOINT": "https://hub.internal"}
        welcome = environment | {"HTTPS_PROXY": proxy.url("me:secret")}
        assert Fetching("hf-hub:org/small", tmp_path / "a", **welcome).outcome() == "200"
        assert set(proxy.asked) == {"hub.internal:443", "store.internal:443"}
        unwelcome = environment | {"HTTPS_PROXY": proxy.url(), "IMPATIENT": "1"}
        told = Fetching("hf-hub:org/small", tmp_path / "b", **unwelcome).outcome()
        assert told.startswith("DownloadError")
        assert "407" in told
        assert "proxy" in told.splitlines()[1]
    finally:
        proxy.stop()


# --- Xet -----------------------------------------------------------------------------------------------------------


#: Older clients ask the Hub for an LFS upload first, and use Xet where it answers so.
XET_FIRST = "2.0"


def by_xet(**more: str | None) -> dict[str, str | None]:
    return {"HF_HUB_DISABLE_XET": None, "HF_TOKEN": OWNER} | more


@pytest.fixture
def xet(hub: Hub, make_checkpoint, tmp_path: Path) -> tuple[Path, str]:
    """(A checkpoint folder, the digest of its weights) and a Hub with a Xet storage that will know them by both."""
    pytest.importorskip("huggingface_hub", minversion=XET_FIRST, reason="asks for LFS before Xet")
    hf_xet = pytest.importorskip("hf_xet")
    if not hasattr(hf_xet, "hash_files"):
        pytest.skip("this hf_xet tells no hashes")
    folder, config, _ = make_checkpoint(half=True)
    hub.xet = tmp_path / "storage"
    hub.xet.mkdir()
    (hashed,) = hf_xet.hash_files([str(folder / WEIGHTS)])
    hub.xet_hashes[config.sha256] = hashed.hash
    hub.lfs[config.sha256] = (folder / WEIGHTS).read_bytes()  # what the Hub would read out of its storage
    return folder, config.sha256


def test_xet_takes_and_gives_the_weights(hub: Hub, xet: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = xet
    commit = Pushing(folder, "org/mine", **by_xet(HF_HOME=str(tmp_path / "home"))).outcome()
    assert hub.repos["org/mine"].refs["main"] == commit
    assert not hub.requests("/lfs/"), "the weights went by LFS"
    assert sum(path.stat().st_size for path in hub.xet.rglob("*") if path.is_file()) > 5_000_000
    hub.log.clear()
    source = f"hf-hub:org/mine@{commit}"
    fetching = Fetching(source, tmp_path / "cache", **by_xet(HF_HOME=str(tmp_path / "other")))
    assert fetching.outcome() == "200"
    assert hub.requests("xet-read-token")
    assert not hub.requests("/cdn/"), "the weights came by plain HTTP"


@pytest.mark.parametrize("variable", ["HF_HUB_DISABLE_XET", "WITHOUT_XET"])
def test_without_xet_the_same_comes_and_goes_by_plain_http(
    hub: Hub, xet: tuple[Path, str], tmp_path: Path, variable: str
) -> None:
    """A Hub with Xet, and a client that has it not, or shall not use it: LFS, and our own verified download."""
    folder, digest = xet
    del hub.lfs[digest]
    commit = Pushing(folder, "org/mine", **by_xet(**{variable: "1"})).outcome()
    assert hub.repos["org/mine"].refs["main"] == commit
    assert hub.requests("PUT /lfs/")
    hub.fault("GET /cdn/", change=lambda body: body[:-1] + bytes([body[-1] ^ 1]))
    told = Fetching("hf-hub:org/mine", tmp_path / "cache", **by_xet(**{variable: "1"})).outcome()
    assert "it was discarded" in told
    assert Fetching("hf-hub:org/mine", tmp_path / "cache", **by_xet(**{variable: "1"})).outcome() == "200"
    assert not hub.requests("xet-")


def test_a_hub_without_xet_and_a_client_with_it(hub: Hub, make_checkpoint, tmp_path: Path) -> None:
    """The client does not fall back by itself when it publishes; what it reads comes by plain HTTP."""
    pytest.importorskip("hf_xet")
    pytest.importorskip("huggingface_hub", minversion=XET_FIRST, reason="publishes by LFS instead")
    folder, _, _ = make_checkpoint(half=True)
    told = Pushing(folder, "org/mine", **by_xet(HF_HOME=str(tmp_path / "home"))).outcome()
    assert told.startswith(f"PublishError: org/mine was not changed: {hub.endpoint} has no Xet storage")
    assert "HF_HUB_DISABLE_XET=1" in told
    assert len(hub.repos["org/mine"].commits) == 1
    hub.repo("org/theirs", {path.name: path.read_bytes() for path in folder.iterdir()})
    assert Fetching("hf-hub:org/theirs", tmp_path / "cache", **by_xet()).outcome() == "200"
