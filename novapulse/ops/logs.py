"""Structured logs: JSON lines in files that cannot outgrow their cap, readable lines on the console.

Invariants:
- a line is masked before it is rendered (fields by name and value) and after (the whole line by value), in every
  handler; so are exceptions, tracebacks, warnings, what other libraries log, and the complaint of a failing handler;
- `trader.log` has everything from its level on, `errors.log` the errors alone; together with their older parts they
  stay below the cap;
- a full disk loses lines, it never stops the process.
"""

import logging
import logging.handlers
import os
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import IO, Any, TextIO

import structlog

from novapulse.ops.masking import SECRETS, Secrets
from novapulse.ops.repeats import Repeats

CAP_BYTES = 64 * 1024 * 1024
_PARTS = 4
_ERROR_SHARE = 8
_LINE_MAX = 64 * 1024
_CUT = 8 * 1024
# Escapes keep a line's bytes as many as its characters, which is what the cap counts.
_RENDER = structlog.processors.JSONRenderer(ensure_ascii=True)

Fields = MutableMapping[str, Any]
Step = Callable[[Any, str, Fields], Any]


class Logs:
    """The logs of a process, from now until `close`.

    Args:
        folder: Where the files go; it is made. None for the console alone.
        level: Least level that is written: `DEBUG`, `INFO`, `WARNING`, `ERROR`.
        console: Where readable lines go; None for nowhere.
        cap_bytes: What all files together may take.
        secrets: What must never be written.

    Raises:
        OSError: The folder cannot be written.
        ValueError: The level is unknown or the cap is too small for a few lines.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        level: str = "INFO",
        console: TextIO | None = sys.stderr,
        cap_bytes: int = CAP_BYTES,
        secrets: Secrets = SECRETS,
    ) -> None:
        if level not in logging.getLevelNamesMapping():
            raise ValueError(f"log level {level!r}: expected DEBUG, INFO, WARNING or ERROR")
        least = 2 * _LINE_MAX * _PARTS * _ERROR_SHARE
        if folder is not None and cap_bytes < least:
            raise ValueError(f"a cap of {cap_bytes} bytes is too small for logs: expected at least {least}")
        self.secrets = secrets
        self._handlers: list[logging.Handler] = []
        if console is not None:
            self._add(_Console(console, secrets), structlog.dev.ConsoleRenderer(colors=_is_colourful(console)))
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            errors = cap_bytes // _ERROR_SHARE
            self._add(_Rotating(folder / "trader.log", cap_bytes - errors, secrets), _json_line)
            self._add(_Rotating(folder / "errors.log", errors, secrets), _json_line, logging.ERROR)
        root = logging.getLogger()
        self._outside = root.level, list(root.handlers), structlog.get_config()
        for handler in self._outside[1]:
            root.removeHandler(handler)
        for handler in self._handlers:
            root.addHandler(handler)
        root.setLevel(level)
        logging.captureWarnings(True)
        structlog.configure(
            processors=[*_shared(secrets), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=False,
        )

    def _add(self, handler: logging.Handler, renderer: Step, level: int = logging.NOTSET) -> None:
        handler.setFormatter(_Formatter(renderer, self.secrets))
        handler.setLevel(level)
        self._handlers.append(handler)

    def flush(self) -> None:
        """Write out what is buffered."""
        for handler in self._handlers:
            handler.flush()

    def close(self) -> None:
        """Close the files and put the logging of before back."""
        root = logging.getLogger()
        level, handlers, structured = self._outside
        for handler in self._handlers:
            root.removeHandler(handler)
            handler.close()
        for handler in handlers:
            root.addHandler(handler)
        root.setLevel(level)
        logging.captureWarnings(False)
        structlog.configure(**structured)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, renderer: Step, secrets: Secrets) -> None:
        self._secrets = secrets
        clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        masked = _masker(secrets)
        # What comes from the standard library goes through the same steps as our own.
        foreign: list[Step] = [structlog.stdlib.ExtraAdder(), *_shared(secrets)]
        super().__init__(processors=[clean, masked, renderer], foreign_pre_chain=foreign)

    def format(self, record: logging.LogRecord) -> str:
        return self._secrets.masked(super().format(record))


class _Masked(logging.Handler):
    # Python's own complaint prints the record as it came: with whatever secret is in it.
    secrets: Secrets
    repeats: Repeats

    def handleError(self, record: logging.LogRecord) -> None:
        wrong = sys.exc_info()[1]
        why = f"{type(wrong).__name__}: {wrong}"
        lost = self.repeats.take(why)
        if sys.stderr is not None and lost is not None:
            what = f"{lost} log lines were lost" if lost else f"a log line of {record.name} was lost"
            sys.stderr.write(self.secrets.masked_text(f"{what}: {why}\n"))


class _Console(_Masked, logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO, secrets: Secrets) -> None:
        super().__init__(stream)
        self.secrets, self.repeats = secrets, Repeats()


class _Rotating(_Masked, logging.handlers.RotatingFileHandler):
    def __init__(self, path: Path, cap_bytes: int, secrets: Secrets) -> None:
        super().__init__(path, maxBytes=cap_bytes // _PARTS, backupCount=_PARTS - 1, encoding="utf-8", delay=False)
        self.secrets, self.repeats = secrets, Repeats()

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors="replace", opener=_for_us_alone)


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)


def _shared(secrets: Secrets) -> list[Step]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _masker(secrets),
    ]


def _masker(secrets: Secrets) -> Callable[[Any, str, Fields], Fields]:
    def masked(logger: Any, method: str, fields: Fields) -> Fields:
        # Names that begin with an underscore are the formatter's own notes.
        kept = {key: value for key, value in fields.items() if key.startswith("_")}
        return {**secrets.masked_values({k: v for k, v in fields.items() if k not in kept}), **kept}

    return masked


def _json_line(logger: Any, method: str, fields: Fields) -> str | bytes:
    first = {key: fields[key] for key in ("timestamp", "level", "logger", "event") if key in fields}
    line = _RENDER(logger, method, {**first, **fields})
    if len(line) <= _LINE_MAX:
        return line
    short = {key: str(value)[:_CUT] for key, value in first.items()}
    return _RENDER(logger, method, {**short, "cut_from": len(line), "begin": str(line)[:_CUT]})


def _is_colourful(stream: IO[str]) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")
