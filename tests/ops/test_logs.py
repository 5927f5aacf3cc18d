"""Logs (R-63): secrets never reach them, by name or by value, whichever way they come; files stay below their cap."""

import asyncio
import base64
import io
import json
import logging
import os
import threading
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from novapulse.ops import masking
from novapulse.ops.logs import Logs
from novapulse.ops.masking import LENGTH_MIN, MASK, Secrets, is_secret_name

CANARY = 'canary-7"f\\3/+é 9b2=e'
KEY_LINES = ("MHcCAQEEIHk3Y0pQcanaryA1b2C3", "oAoGCCqGSM49AwEHcanaryD4e5F6")


class Bench:
    """Logs into a folder and a console that a test can read back."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder, self.console, self.secrets = folder, io.StringIO(), Secrets()
        self.logs = Logs(folder, console=self.console, secrets=self.secrets, **more)

    def everything(self) -> str:
        self.logs.flush()
        return self.console.getvalue() + "".join(file.read_text("utf-8") for file in self.folder.iterdir())

    def lines(self, name: str = "trader.log") -> list[dict[str, Any]]:
        self.logs.flush()
        return [json.loads(line) for line in (self.folder / name).read_text("utf-8").splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "logs")
    yield bench
    bench.logs.close()


@contextmanager
def alone() -> Iterator[list[logging.Handler]]:
    """Our handlers without those that pytest hangs beside them while a test runs."""
    root = logging.getLogger()
    ours = [handler for handler in root.handlers if type(handler).__module__.startswith("novapulse.")]
    others = [handler for handler in root.handlers if handler not in ours]
    assert len(ours) == 3
    for handler in others:
        root.removeHandler(handler)
    try:
        yield ours
    finally:
        for handler in others:
            root.addHandler(handler)


def raised(secret: str) -> None:
    raise RuntimeError(f"the venue said: {secret}")


def test_a_line_is_one_json_object_with_time_level_and_fields(bench: Bench) -> None:
    structlog.get_logger("novapulse.engine").info("bar decided", exchange="kraken", bars=3)
    (line,) = bench.lines()
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert (line["level"], line["event"], line["bars"]) == ("info", "bar decided", 3)
    assert line["timestamp"].endswith("Z")
    assert "bar decided" in bench.console.getvalue()


def test_errors_have_a_log_of_their_own(bench: Bench) -> None:
    log = structlog.get_logger("novapulse")
    log.info("fine")
    log.warning("hm")
    log.error("bad")
    logging.getLogger("somebody.else").error("bad elsewhere")
    assert [line["event"] for line in bench.lines("errors.log")] == ["bad", "bad elsewhere"]
    assert len(bench.lines()) == 4


def _context(secret: str) -> None:
    with structlog.contextvars.bound_contextvars(session=secret):
        structlog.get_logger("n").info("with a context")


def _exception(secret: str) -> None:
    try:
        raised(secret)
    except RuntimeError:
        structlog.get_logger("n").exception("it failed")


def _chained(secret: str) -> None:
    try:
        try:
            raised(secret)
        except RuntimeError as wrong:
            raise ValueError("outer") from wrong
    except ValueError:
        logging.getLogger("library").exception("it failed")


def _broken_format(secret: str) -> None:
    logging.getLogger("library").warning("%d orders", secret)


def _in_a_task(secret: str) -> None:
    async def work() -> None:
        raised(secret)

    async def main() -> None:
        (wrong,) = await asyncio.gather(work(), return_exceptions=True)
        structlog.get_logger("n").error("task", exc_info=wrong)

    asyncio.run(main())


class Holder:
    """An object whose text holds a secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Holder({self.secret!r})"


def _warned(secret: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"old: {secret}", UserWarning, stacklevel=1)


WAYS: dict[str, Callable[[str], Any]] = {
    "as the event": lambda s: structlog.get_logger("n").info(s),
    "inside the event": lambda s: structlog.get_logger("n").info(f"url?sig={s}&x=1"),
    "as a field": lambda s: structlog.get_logger("n").info("e", note=s),
    "as the name of a field": lambda s: structlog.get_logger("n").info("e", **{s: 1}),
    "deep in a field": lambda s: structlog.get_logger("n").info("e", a={"b": [{"c": (s, {s})}]}),
    "deeper than anybody looks": lambda s: structlog.get_logger("n").info("e", a=[[[[[[[[[[[[s]]]]]]]]]]]]),
    "as bytes": lambda s: structlog.get_logger("n").info("e", raw=s.encode()),
    "in an object": lambda s: structlog.get_logger("n").info("e", thing=Holder(s)),
    "as JSON in a text": lambda s: structlog.get_logger("n").info("e", body=json.dumps({"k": s})),
    "as ASCII JSON in a text": lambda s: structlog.get_logger("n").info("e", body=json.dumps(s, ensure_ascii=True)),
    "as Python writes it": lambda s: structlog.get_logger("n").info("e", body=repr([s])),
    "in a URL": lambda s: structlog.get_logger("n").info(f"GET /x?{urllib.parse.urlencode({'k': s})}"),
    "in base64": lambda s: structlog.get_logger("n").info("e", basic=base64.b64encode(s.encode()).decode()),
    "bound to a logger": lambda s: structlog.get_logger("n").bind(note=s).info("e"),
    "in the context": _context,
    "in an exception": _exception,
    "in the cause of an exception of a library": _chained,
    "in the exception of a task": _in_a_task,
    "in a library's argument": lambda s: logging.getLogger("library").info("got %s", s),
    "in a library's extra": lambda s: logging.getLogger("library").info("got", extra={"note": s}),
    "in a library's format that does not fit": _broken_format,
    "in a warning": _warned,
    "as the name of a logger": lambda s: logging.getLogger(f"library.{s}").info("e"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_registered_secret_never_appears(
    way: Callable[[str], Any], bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.secrets.register(CANARY)
    with alone():
        way(CANARY)
    told = capsys.readouterr()
    seen = bench.everything() + told.out + told.err
    assert seen.strip(), "nothing was logged: the test proves nothing"
    for spelling in (
        CANARY,
        json.dumps(CANARY)[1:-1],
        json.dumps(json.dumps(CANARY))[1:-1],
        repr(CANARY)[1:-1],
        urllib.parse.quote(CANARY, safe=""),
        urllib.parse.quote_plus(CANARY),
        base64.b64encode(CANARY.encode()).decode(),
        "canary-7",
        "9b2=e",
    ):
        assert spelling not in seen
    assert [json.loads(line) for line in (bench.folder / "trader.log").read_text("utf-8").splitlines()] or told.err


def test_a_key_of_several_lines_is_masked_line_by_line(bench: Bench) -> None:
    bench.secrets.register("-----BEGIN KEY-----\n" + "\n".join(KEY_LINES) + "\n-----END KEY-----\n")
    for line in KEY_LINES:
        structlog.get_logger("n").info("read", line=line)
    assert not any(line in bench.everything() for line in KEY_LINES)


SECRET_NAMES = (
    "password passwd api_key apiKey APIKEY api-key X-Auth-Token token access_token refreshToken secret client_secret "
    "API_SECRET private_key privateKey Authorization authorization set-cookie credentials passphrase signature "
    "API-Sign api_sign tokens passwords auth secrets api_keys"
).split()
PLAIN_NAMES = (
    "client_order_id account_id symbol price qty keyboard monkey tokenizer secretary instrument idempotency_key author "
    "sign"
).split()


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_what_stands_under_a_secret_name_is_masked_whatever_it_is(name: str, bench: Bench) -> None:
    assert is_secret_name(name)
    log = structlog.get_logger("n")
    log.info("e", **{name: "hunter2"})
    log.info("e", request={"headers": {name: ["hunter2"]}})
    log.info("e", number={name: 222222})
    logging.getLogger("library").info("e", extra={name: "hunter2"})
    seen = bench.everything()
    assert "hunter2" not in seen
    assert "222222" not in seen
    assert seen.count(MASK) >= 4


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_ordinary_names_are_left_alone(name: str, bench: Bench) -> None:
    assert not is_secret_name(name)
    structlog.get_logger("n").info("e", **{name: "visible"})
    assert bench.lines()[0][name] == "visible"


IN_TEXT = {
    "a query": ("GET /orders?api_key=hunter2&symbol=BTC", "&symbol=BTC"),
    "a header": ("Authorization: Bearer hunter2 sent", "sent"),
    "JSON": ('{"password": "hunter2", "symbol": "BTC"}', '"symbol": "BTC"'),
    "Python": ("{'api_secret': 'hunter2', 'n': 1}", "'n': 1"),
    "an argument": ("connect(token='hunter2', timeout=3)", "timeout=3"),
    "another scheme": ("Authorization: Token hunter2 sent", "sent"),
    "a header of Kraken": ("API-Sign: hunter2 nonce=1", "nonce=1"),
    "JSON in JSON": (r'{"data": "{\"password\": \"hunter2, or so\", \"n\": 1}"}', r"\"n\": 1"),
    "the second cookie": ("Cookie: theme=dark; session=hunter2\nHost: example.org", "Host: example.org"),
    "a text that was cut": ("n=1, password='hunter2 and mo", "n=1"),
    "an address": ("cannot reach postgresql://ann:{}@db.example/ledger".format("hunter2"), "@db.example/ledger"),
    "an environment": ("NOVAPULSE_API_SECRET=hunter2 PATH=/bin", "PATH=/bin"),
}


@pytest.mark.parametrize(("text", "kept"), IN_TEXT.values(), ids=IN_TEXT)
def test_a_secret_that_nobody_registered_is_masked_behind_its_name(text: str, kept: str, bench: Bench) -> None:
    structlog.get_logger("n").info(text)
    try:
        raised(text)
    except RuntimeError:
        logging.getLogger("library").exception("failed")
    seen = bench.everything()
    assert "hunter2" not in seen
    assert kept in bench.lines()[0]["event"]


def test_secrets_that_two_register_at_once_are_both_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug: who was slower put back a pattern of before, and the other secret was seen until one more came."""
    secrets, compile_, others = Secrets(), masking.re.compile, list[threading.Thread]()

    def register(secret: str) -> None:
        secrets.register(secret)
        secrets.masked("whatever is logged")

    def slowly(pattern: str) -> Any:
        if not others:
            others.append(threading.Thread(target=register, args=("the second secret",)))
            others[0].start()
            others[0].join(0.3)
        return compile_(pattern)

    monkeypatch.setattr(masking.re, "compile", slowly)
    register("the first secret")
    others[0].join()
    assert secrets.masked("the first secret, the second secret") == f"{MASK}, {MASK}"


def test_a_secret_that_cannot_be_masked_is_refused() -> None:
    for value in ("", "   ", "x" * (LENGTH_MIN - 1), f" {'x' * (LENGTH_MIN - 1)} "):
        with pytest.raises(ValueError, match="cannot be masked"):
            Secrets().register(value)


@given(
    secret=st.text(min_size=LENGTH_MIN, max_size=40).filter(lambda s: len(s.strip()) >= LENGTH_MIN),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_no_text_around_a_secret_hides_it_from_the_mask(secret: str, before: str, after: str) -> None:
    secrets = Secrets()
    secrets.register(secret)
    kept = secret.strip()
    assert kept not in secrets.masked(before + secret + after).replace(MASK, "\0")
    (shown,) = secrets.masked_values({"field": [before + secret + after]}).values()
    assert kept not in shown[0].replace(MASK, "\0")


def test_files_stay_below_their_cap_and_the_newest_lines_survive(tmp_path: Path) -> None:
    cap = 4_194_304
    bench = Bench(tmp_path / "logs", cap_bytes=cap)
    try:
        log = structlog.get_logger("n")
        for number in range(1500):
            log.error("flood", number=number, text="é" * 5000)
        bench.logs.flush()
        sizes = [file.stat().st_size for file in bench.folder.iterdir()]
        assert cap / 2 < sum(sizes) <= cap
        assert bench.lines()[-1]["number"] == bench.lines("errors.log")[-1]["number"] == 1499
    finally:
        bench.logs.close()


def test_a_giant_line_is_cut_and_stays_json(bench: Bench) -> None:
    structlog.get_logger("n").info("giant", text="x" * 1_000_000)
    (line,) = bench.lines()
    assert line["event"] == "giant"
    assert line["cut_from"] > 1_000_000
    assert (bench.folder / "trader.log").stat().st_size < 64 * 1024


def test_logs_are_not_for_everybody(bench: Bench) -> None:
    structlog.get_logger("n").info("e")
    assert all(file.stat().st_mode & 0o007 == 0 for file in bench.folder.iterdir())


def test_a_full_disk_loses_lines_and_stops_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, f"no space left on device for {CANARY}")

        def tell(self) -> int:
            return 0

    bench.secrets.register(CANARY)
    with alone() as ours, monkeypatch.context() as patch:
        for handler in ours:
            patch.setattr(handler, "stream", Full())
        for _ in range(50):
            structlog.get_logger("n").error("lost", note=CANARY)
    said = capsys.readouterr().err
    assert said.count("a log line of n was lost: OSError") == len(ours), (
        "a disk that stays full was told again and again"
    )
    assert CANARY not in said


def test_closing_puts_the_logging_of_before_back(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers), structlog.get_config()
    bench = Bench(tmp_path / "logs")
    assert list(root.handlers) != before[1]
    bench.logs.close()
    assert (root.level, list(root.handlers), structlog.get_config()) == before


@pytest.mark.parametrize(
    ("more", "said"), [({"level": "LOUD"}, "expected DEBUG"), ({"cap_bytes": 1000}, "too small for logs")]
)
def test_settings_that_cannot_be_are_refused(more: dict[str, Any], said: str, tmp_path: Path) -> None:
    handlers = list(logging.getLogger().handlers)
    with pytest.raises(ValueError, match=said):
        Logs(tmp_path, console=None, **more)
    assert list(logging.getLogger().handlers) == handlers


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(OSError, match="logs"):
        Logs(tmp_path / "logs", console=None)
    assert os.path.isfile(tmp_path / "logs")
