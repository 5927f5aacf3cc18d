"""The words of the command line. Commands are imported when they are called."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from novapulse import __version__
from novapulse.cli.looking_back import ABOUT_EXPLAIN, ABOUT_PARITY
from novapulse.cli.scan_options import ABOUT_SCAN, add_scan_options
from novapulse.cli.words import ledger_place, rows, seconds, verb

_EPILOG = """\
State lies under NOVAPULSE_HOME, the lake of bars under NOVAPULSE_DATA_DIR where
that is set. NOVAPULSE_CONFIG names the configuration, NOVAPULSE_SECTION__KEY
overrides any setting of it: "novapulse config check" lists them all.
Exit codes: 0 done, 1 failed, 2 wrong usage, configuration or data.
"""

_DEMO = """\
The whole product on this machine, without the net. First a backtest of all strategies
on the bars at hand: the lake where it has bars of the configured symbols, else recorded
files (NOVAPULSE_DATA_DIR, or shared/data beside the checkout), else a generated sample
market. Then a paper trader with three accounts on two exchanges, and the dashboards: it
prints their address and a link that makes you an admin, and goes on until Ctrl-C. What
it trades lies in the folder "demo" of the home folder, apart from anything of yours.

--once proves all of it without a browser and exits; --json does the backtest alone.
"""

_REPLAY = """\
Run the whole engine over recorded bars, in virtual time and without faults: the
trader, its orders, the simulated venue and the ledger, which is kept where --ledger
says. What comes out is what 'novapulse backtest' says of the same words.
"""

_SERVE = """\
Serve the dashboards of this home folder with REST interface and live stream. It reads
the ledger and writes commands into the inbox: the trader notices neither its start nor
its end. The first start prints a one-time link that makes the first admin. Beyond this
machine it wants TLS: put it behind a proxy and name the address with --origin.
"""

_LIVE = """\
Trade every account under 'accounts:' of the configuration, on paper: simulated
venues on recorded bars, played at 'feed.speed'. It goes on where the ledger of this
home folder ends, however it was stopped, and stops when the feed ends, after
--duration, or by Ctrl-C or SIGTERM. 'novapulse health' and 'novapulse control' talk to
it from another terminal; SIGUSR1 writes what it is doing into its logs.
Exit 0 when it ended clean.
"""

_SIMULATE = """\
Let whole traders live days of virtual time in a world where messages are lost,
venues and disks fail, clocks step and processes die, and compare what they did
with the truth after every event. The same seed is the same world: a failing seed
prints the one command that lives it again.
"""

_HEALTH = """\
Show how every account is that a trader of this home folder runs: its mode, the
age of its last bar, its positions and orders, and what is wrong with it. One that
is missing, old or left behind by a stopped trader is not healthy: exit 1.
"""

_CONTROL = """\
Write a command into the inbox of the trader of this home folder and wait for what
each account answers. Exit 0 when every account did it, 1 when one refused or did
not answer in time.

  pause             no new risk                resume            take that back
  reduce-only       only shrink positions      flatten           close everything
  halt              only cancels and stops     resume-from-halt  end a halt
  kill              flatten, then halt         cancel            cancel entries, or one order (--order)
  close             close one position (--symbol)
  adopt, ignore     decide about a difference by its key (--order D13:BTC)
  settle            end a dispute over an order as the venue says (--order)
  reconcile         compare with the venue now
  acknowledge       say that an alert was seen (--alert KEY, or --alert all)
  limits            change limits of risk until they are reset (--set positions_max=3 --set ...,
                    --reset risk_fraction, or --reset for all); a refusal names the bound

What loosens is obeyed within ten minutes or not at all. --prove goes with flatten and
kill: it waits for the answers, then as long again until ledger and trader both say that
nothing is held and nothing is at work; exit 1 when they do not.
"""


_ROLES = ("viewer", "operator", "admin")
_KEY_SCOPES = ("read", "control", "loosen", "flatten")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[_Parser]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line; `command` is what to call with them.

    Raises:
        SystemExit: The words are wrong (code 2), or only help or the version was wanted (code 0).
    """
    parser = _Parser(
        prog="novapulse",
        description="From recorded bars to an honest backtest.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"novapulse {__version__}")
    parser.set_defaults(command=None, parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    first = (_add_demo, _add_data, _add_scan, _add_backtest, _add_bias, _add_explain, _add_replay, _add_parity)
    for add in (
        *first,
        _add_config,
        _add_live,
        _add_serve,
        _add_health,
        _add_control,
        _add_people,
        _add_books,
        _add_simulate,
    ):
        add(commands)
    options, strange = parser.parse_known_args(arguments)
    if strange:
        # The help of the command that was meant knows its words, the first page of all does not.
        options.parser.error(f"unrecognized arguments: {' '.join(strange)}")
    if options.command is None:
        options.parser.print_help(sys.stderr)
        raise SystemExit(2)
    return options


def _command(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    def call(options: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"novapulse.cli.{module}"), function)(options)
        return code

    return call


def _leaf(
    commands: "Subparsers", name: str, summary: str, module: str, function: str, description: str | None = None
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=_command(module, function), parser=parser)
    return parser


def _group(commands: "Subparsers", name: str, summary: str) -> "Subparsers":
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(parser=parser)
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")


def _add_config_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="F", help="configuration to use")


def _add_series(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exchange", metavar="E", required=True, help="lower-case id, such as kraken")
    parser.add_argument("--symbol", metavar="S", required=True, help="BTC/USD, BTC-USD, FIL-USDT-PERP or SPY")


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_config_file(parser)
    parser.add_argument("--exchange", metavar="E", help="lower-case id, such as kraken")
    parser.add_argument(
        "--symbol",
        metavar="S",
        nargs="+",
        action="extend",
        help="what the account trades, one or several; without it the configured symbols",
    )
    parser.add_argument("--timeframe", metavar="T", help="width of a decision bar, such as 1m or 4h")
    parser.add_argument("--start", metavar="D", help="first moment, ISO 8601: bars that close after it")
    parser.add_argument("--end", metavar="D", help="last moment, ISO 8601: bars that close up to it")
    parser.add_argument("--capital", metavar="N", help="opening cash, in the quote currency")


def _add_demo(commands: "Subparsers") -> None:
    parser = _leaf(commands, "demo", "show everything: backtest, paper trader, dashboards", "demo", "demo", _DEMO)
    parser.add_argument("--once", action="store_true", help="prove everything without a browser, and exit")
    parser.add_argument("--port", type=int, default=8700, help="port of the dashboards (8700, or a free one)")
    _add_config_file(parser)
    _add_json(parser)


def _add_data(commands: "Subparsers") -> None:
    data = _group(commands, "data", "fill the lake of recorded bars and look after it")
    parser = _leaf(data, "import", "add the bars of a Parquet or CSV file to the lake", "data", "import_")
    parser.add_argument("file", metavar="FILE")
    _add_series(parser)
    parser.add_argument("--timeframe", metavar="T", required=True, help="width of a bar, such as 1m or 4h")
    parser.add_argument(
        "--stamps", choices=("open", "close"), help="what a time in the file is: a bar's open or its close"
    )
    parser.add_argument("--zone", metavar="Z", help="time zone of times that name none, such as America/New_York")
    parser.add_argument("--calendar", metavar="C", help="24/7 (crypto) or an exchange calendar (stocks: XNYS)")
    parser.add_argument("--sort", action="store_true", help="accept rows that are not in time order")
    _add_json(parser)
    _add_json(_leaf(data, "list", "list the series of the lake", "data", "list_"))
    _add_json(
        _leaf(data, "verify", "compare files with their hashes, and report gaps and odd prices", "data", "verify")
    )


def _add_scan(commands: "Subparsers") -> None:
    parser = _leaf(
        commands, "scan", "judge the last bars of many instruments and rank them", "scan", "scan", ABOUT_SCAN
    )
    _add_config_file(parser)
    add_scan_options(parser)


def _add_backtest(commands: "Subparsers") -> None:
    parser = _leaf(
        commands, "backtest", "run the configured strategies and rules over recorded bars", "backtest", "backtest"
    )
    _add_run(parser)
    parser.add_argument("--html", metavar="F", help="write a tear sheet too: one file that opens without a network")
    parser.add_argument(
        "--metrics-only", action="store_true", help="keep no trades and no curve: little memory, long histories"
    )
    _add_json(parser)


def _add_bias(commands: "Subparsers") -> None:
    parser = _leaf(commands, "bias", "prove that strategies do not look ahead", "bias", "bias")
    parser.add_argument("--strategy", metavar="NAME", help="one strategy; without it all that have a weight")
    _add_config_file(parser)
    _add_json(parser)


def _add_explain(commands: "Subparsers") -> None:
    parser = _leaf(commands, "explain", "say why a bar was traded, or why not", "explain", "explain", ABOUT_EXPLAIN)
    _add_run(parser)
    parser.add_argument("--of", metavar="S", help="the symbol whose bar it is, where the account trades several")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--at", metavar="TS", help="a bar's close, ISO 8601 such as 2026-04-01T12:00Z")
    which.add_argument("--decision", metavar="ID", help="a recorded decision, the first digits of its id, or last")
    which.add_argument("--why-not", action="store_true", help="why nothing was done, from a ledger")
    parser.add_argument(
        "--last", metavar="N", type=rows, default=20, help="decisions to list without any of these (20)"
    )
    _add_ledger(parser, "ledger of --decision, --why-not and the list; without it the one of this home folder")
    _add_json(parser)


def _add_ledger(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--ledger", metavar="F", type=ledger_place, help=text)


def _add_replay(commands: "Subparsers") -> None:
    parser = _leaf(commands, "replay", "run the whole engine over recorded bars", "replay", "replay", _REPLAY)
    _add_run(parser)
    _add_ledger(parser, "a new file that keeps the ledger; without it nothing is kept")
    _add_json(parser)


def _add_parity(commands: "Subparsers") -> None:
    summary = "show that backtest, replay and session are the same"
    parser = _leaf(commands, "parity", summary, "parity", "parity", ABOUT_PARITY)
    _add_run(parser)
    named = "a recorded session: number of its first record, 'last', or name of a run of live for each of its accounts"
    parser.add_argument("--session", metavar="ID", help=named)
    parser.add_argument("--list", action="store_true", help="list the sessions of the ledger and compare nothing")
    _add_ledger(parser, "ledger of the session; without it the one of this home folder")
    _add_json(parser)


def _add_live(commands: "Subparsers") -> None:
    parser = _leaf(commands, "live", "trade all configured accounts, on paper", "live", "live", _LIVE)
    _add_config_file(parser)
    parser.add_argument("--duration", metavar="S", type=seconds, help="seconds after which it stops")
    parser.add_argument(
        "--leave-accounts",
        action="store_true",
        help="start although the ledger has accounts with open orders or holdings that are not configured",
    )
    _add_json(parser)


def _add_serve(commands: "Subparsers") -> None:
    parser = _leaf(
        commands, "serve", "serve dashboards, REST and live stream, behind a sign-in", "serve", "serve", _SERVE
    )
    _add_config_file(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8700, help="port to listen at (8700)")
    parser.add_argument(
        "--origin",
        metavar="URL",
        action="append",
        default=[],
        help="where browsers reach it, such as https://desk.example",
    )
    parser.add_argument(
        "--proxy", metavar="ADDRESS", action="append", default=[], help="a proxy whose X-Forwarded-For is believed"
    )


def _add_simulate(commands: "Subparsers") -> None:
    summary = "break traders in virtual time and show that they hold; exit 1 when an invariant broke"
    parser = _leaf(commands, "simulate", summary, "simulate", "simulate", _SIMULATE)
    parser.add_argument("--seeds", metavar="A:B", default="0:10", help="seeds from A to before B, or one (0:10)")
    parser.add_argument("--days", metavar="N", type=float, default=1.0, help="virtual days of each (1)")
    parser.add_argument("--faults", metavar="F", default="all", help="all, none, or names with commas between (all)")
    parser.add_argument("--pairs", metavar="N", type=int, default=4, help="instruments over both exchanges (4)")
    parser.add_argument(
        "--accounts", metavar="N", type=int, default=3, help="accounts at most, some seeds have fewer (3)"
    )
    parser.add_argument(
        "--processes", metavar="N", type=int, help="how many seeds live at a time (as many as there are processors)"
    )
    parser.add_argument("--list", action="store_true", help="print the faults and what each does, and do nothing")
    _add_json(parser)


def _add_health(commands: "Subparsers") -> None:
    summary = "show how every account of the trader is; exit 1 when one is not healthy"
    _add_json(_leaf(commands, "health", summary, "health", "health", _HEALTH))


def _add_control(commands: "Subparsers") -> None:
    parser = _leaf(commands, "control", "tell a running trader something", "control", "control", _CONTROL)
    verbs = (
        "pause resume reduce-only halt resume-from-halt flatten close cancel kill adopt ignore settle reconcile "
        "acknowledge limits"
    ).split()
    parser.add_argument("verb", metavar="VERB", choices=verbs, type=verb)
    parser.add_argument("--exchange", metavar="E", help="lower-case id, such as kraken")
    parser.add_argument("--account", metavar="A", help="the account there, such as main")
    parser.add_argument("--all", action="store_true", help="every account of the trader")
    parser.add_argument("--symbol", metavar="S", help="what to close")
    parser.add_argument("--order", metavar="ID", help="which difference or which order is meant")
    repeated: Any = {"action": "append", "default": []}
    parser.add_argument("--set", metavar="NAME=NUMBER", help="limits: what one is to be; may be repeated", **repeated)
    back = "limits: back to the configuration, one by name or all; may be repeated"
    parser.add_argument("--reset", metavar="NAME", nargs="?", const="all", help=back, **repeated)
    parser.add_argument("--alert", metavar="KEY", help="which alert was seen, as 'novapulse health' names it; or all")
    parser.add_argument("--reason", metavar="TEXT", help="why, for the ledger")
    parser.add_argument("--wait", metavar="S", type=seconds, default=10.0, help="seconds to wait for answers (10)")
    parser.add_argument("--key", metavar="K", help="name of this wish: the same key is obeyed once")
    parser.add_argument(
        "--prove", action="store_true", help="flatten, kill: wait until ledger and trader agree on flat"
    )
    _add_json(parser)


def _add_people(commands: "Subparsers") -> None:
    people = _group(commands, "people", "say who may sign in to the server, and as what")
    whom = "two to 32 lower-case letters, digits, '.', '_' or '-'"
    leaves = {
        name: _leaf(people, name, summary, "people", function)
        for name, summary, function in (
            ("list", "list people", "list_"),
            ("add", "add somebody and print a one-time link", "add"),
            ("link", "print a one-time link: for somebody, or for the first admin", "link"),
            ("password", "set a password, read from the terminal or the first line of stdin", "password"),
            ("role", "give somebody another role; their sessions and keys end", "role"),
            ("disable", "let somebody in no more, from this moment on", "disable"),
            ("enable", "let somebody in again", "enable"),
            ("reset-second-factor", "take away the second factor of somebody who has lost it", "reset_second_factor"),
            ("audit", "prove the audit and print its newest rows; exit 1 when a row is not as written", "audit"),
        )
    }
    for name in ("add", "password", "role", "disable", "enable", "reset-second-factor"):
        leaves[name].add_argument("name", metavar="NAME", help=whom)
    leaves["link"].add_argument("name", metavar="NAME", nargs="?", help="whose; without it the first admin's")
    leaves["add"].add_argument(
        "--role", choices=_ROLES, required=True, help="viewer looks, operator acts too, admin looks after people"
    )
    leaves["add"].add_argument("--password", action="store_true", help="read a password instead of making a link")
    leaves["role"].add_argument("role", choices=_ROLES)
    leaves["audit"].add_argument("--last", metavar="N", type=int, default=20, help="rows to print (20)")
    leaves["audit"].add_argument("--head", metavar="HASH", default="", help="a head noted earlier: it has to be there")
    for name in ("add", "link"):
        leaves[name].add_argument(
            "--server", metavar="URL", default="http://127.0.0.1:8700", help="where the server is reached"
        )
    keys = _group(people, "key", "look after the API keys of people")
    key_list = _leaf(keys, "list", "list keys", "people", "key_list")
    key_list.add_argument("name", metavar="NAME", nargs="?", default="", help="whose; without it all")
    key_add = _leaf(keys, "add", "make a key and print it, this once", "people", "key_add")
    key_add.add_argument("name", metavar="NAME", help="whose")
    key_add.add_argument("--label", metavar="TEXT", required=True, help="what it is for")
    key_add.add_argument("--scope", choices=_KEY_SCOPES, nargs="+", required=True, help="what it may")
    key_add.add_argument(
        "--from", dest="networks", metavar="CIDR", nargs="+", default=[], help="it works from these addresses alone"
    )
    key_add.add_argument("--days", metavar="N", type=int, default=90, help="how long it lives (90)")
    key_revoke = _leaf(keys, "revoke", "let a key work no more", "people", "key_revoke")
    key_revoke.add_argument("prefix", metavar="PREFIX", help="its name, as 'key list' shows it")
    for parser in (*leaves.values(), key_list, key_add, key_revoke):
        _add_json(parser)


def _add_books(commands: "Subparsers") -> None:
    books = _group(commands, "ledger", "prove the ledger, copy it, put a copy back, hand it to other tools")
    which = "the ledger: a file or an URL; without it the one of this home folder"
    audit = _leaf(books, "audit", "prove every entry; exit 1 when one is not as it was written", "ledger", "audit")
    audit.add_argument("--head", metavar="HASH", help="a head that was noted earlier: it has to be in the chain still")
    backup = _leaf(books, "backup", "copy the ledger while it is written, and check the copy", "ledger", "backup")
    backup.add_argument("file", metavar="FILE", nargs="?", help="a new file; without it one under backups/")
    restore = _leaf(books, "restore", "put a backup back, if it is sound and nobody trades", "ledger", "restore")
    restore.add_argument("file", metavar="FILE", help="a backup, with its .sha256 beside it")
    drop = "drop entries that the ledger there has and the backup does not; every account halts at its next start"
    restore.add_argument("--drop-newer", action="store_true", help=drop)
    export = _leaf(books, "export", "write tables (CSV, Parquet) and a journal in beancount syntax", "ledger", "export")
    export.add_argument("folder", metavar="FOLDER", help="where to; files that are there are not replaced")
    forms = ("csv", "parquet", "beancount")
    export.add_argument("--format", choices=forms, nargs="+", action="extend", help="only these forms")
    migrate = _leaf(books, "migrate", "bring the schema to what this version writes", "ledger", "migrate")
    for parser in (audit, backup, restore, export, migrate):
        _add_ledger(parser, which)
        _add_json(parser)


def _add_config(commands: "Subparsers") -> None:
    config = _group(commands, "config", "look at the configuration")
    parser = _leaf(
        config, "check", "check the configuration and print every setting and where it came from", "config", "check"
    )
    _add_config_file(parser)
    _add_json(parser)
    _leaf(config, "schema", "print the JSON schema of a configuration file", "config", "schema")
