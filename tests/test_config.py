"""Configuration: one name per setting in every source, later sources win, and nothing unknown is passed over (R-61)."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from novapulse import config
from novapulse.config import ConfigError, Settings, check_mode, load, settings_of
from novapulse.config.schema import dotted, environment_name, kind_at, leaves, path_of

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "config" / "novapulse.yaml"
PAPER = ROOT / "config" / "paper.yaml"
LEAVES = list(leaves(Settings().model_dump(mode="json")))


@pytest.fixture(autouse=True)
def _an_empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def nowhere(**more: str) -> dict[str, str]:
    """An environment in which no configuration lies about."""
    return {"NOVAPULSE_HOME": "home", **more}


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(text, "utf-8")
    return file


def test_the_shipped_file_says_nothing_but_the_defaults() -> None:
    loaded = load(nowhere(), SHIPPED)
    assert loaded.settings == Settings()
    assert loaded.settings.backtest.hash == Settings().backtest.hash


def test_the_shipped_file_has_every_section_eight_pairs_and_the_weights() -> None:
    stated = yaml.safe_load(SHIPPED.read_text("utf-8"))
    assert set(stated) == set(Settings.model_fields)
    assert len(stated["data"]["symbols"]) == 8
    weights = stated["confluence"]["weights"]
    assert weights == Settings().confluence.weights
    assert max(weights, key=weights.get) == "keltner"
    assert weights["keltner"] == 0.30


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = json.loads((ROOT / "config" / "schema.json").read_text("utf-8"))
    assert published == config.json_schema(), "run: novapulse config schema > config/schema.json"
    assert published["$id"].endswith(f":{config.SCHEMA_VERSION}")


@pytest.mark.parametrize(("path", "value"), LEAVES, ids=[dotted(path) for path, _ in LEAVES])
def test_every_setting_has_an_environment_name_of_its_own(path: tuple[str, ...], value: Any) -> None:
    name = environment_name(path)
    assert path_of(name) == path
    assert kind_at(Settings, path) is not None
    loaded = load(nowhere(**{name: value if isinstance(value, str) else json.dumps(value)}))
    assert loaded.settings == Settings()
    assert loaded.place(path) == f"environment variable {name}"


def test_the_environment_wins_over_the_file_and_an_option_over_both(tmp_path: Path) -> None:
    file = written(tmp_path, "capital: 1\nrisk: {entry_forecast_min: 6, exit_forecast_min: 3}\ndata: {timeframe: 5m}\n")
    environment = nowhere(NOVAPULSE_CAPITAL="2", NOVAPULSE_RISK__ENTRY_FORECAST_MIN="7")
    loaded = load(environment, file, {"capital": ("--capital", "3"), "data.exchange": ("--exchange", None)})
    settings = loaded.settings
    assert (settings.capital, settings.risk.entry_forecast_min, settings.risk.exit_forecast_min) == (3, 7, 3)
    assert (settings.data.timeframe, settings.data.exchange) == ("5m", "binance")
    assert loaded.place(("capital",)) == "option --capital"
    assert loaded.place(("risk", "exit_forecast_min")) == f"{file}, line 2"
    assert loaded.place(("data", "exchange")) == "default"


def test_a_weight_is_overridden_alone_and_one_can_be_added(tmp_path: Path) -> None:
    """R-16: a strategy of one's own is one more entry."""
    file = written(tmp_path, "confluence:\n  weights: {mine: 0.2, trend: 0}\n")
    weights = load(nowhere(NOVAPULSE_CONFLUENCE__WEIGHTS__KELTNER="0.5"), file).settings.confluence.weights
    assert weights == Settings().confluence.weights | {"mine": 0.2, "trend": 0.0, "keltner": 0.5}


def test_lists_are_written_as_people_write_them() -> None:
    loaded = load(
        nowhere(
            NOVAPULSE_DATA__SYMBOLS="btc-usdt, ETH/USDT",
            NOVAPULSE_CONFLUENCE__TIMEFRAME_WEIGHTS="[1, 1, 2]",
            NOVAPULSE_RISK__SIZING__VOLATILITY_TARGET="null",
        )
    ).settings
    assert loaded.data.symbols == ("BTC/USDT", "ETH/USDT")
    assert loaded.confluence.timeframe_weights == (1, 1, 2)
    assert loaded.risk.sizing.volatility_target is None


def test_a_strategys_parameter_has_an_environment_name() -> None:
    loaded = load(nowhere(NOVAPULSE_CONFLUENCE__PARAMETERS__KELTNER__BAND_BARS="25"))
    assert loaded.settings.confluence.parameters == {"keltner": {"band_bars": 25}}


def test_where_bars_lie_does_not_rename_a_run() -> None:
    assert load(nowhere(NOVAPULSE_DATA__EXCHANGE="kraken")).settings.hash == Settings().hash
    assert load(nowhere(NOVAPULSE_CAPITAL="5")).settings.hash != Settings().hash


def test_a_strategies_folder_lies_beside_its_file_and_else_where_one_stands(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "mine.yaml"
    file.write_text("data: {strategies_folder: own}\n", "utf-8")
    assert load(nowhere(), file).settings.data.strategies_folder == tmp_path / "deep" / "own"
    environment = nowhere(NOVAPULSE_DATA__STRATEGIES_FOLDER="own")
    assert load(environment, file).settings.data.strategies_folder == Path("own")


def test_a_file_is_looked_for_in_the_stated_order(tmp_path: Path) -> None:
    def found(file: Path | None = None, **environment: str) -> Path | None:
        return load(nowhere(**environment), file).file

    assert found() is None
    at_home = tmp_path / "home" / "config.yaml"
    at_home.parent.mkdir()
    at_home.write_text("")
    assert found() == Path("home") / "config.yaml"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "novapulse.yaml").write_text("# nothing\n")
    assert found() == Path("config") / "novapulse.yaml"
    named, asked = tmp_path / "named.yaml", tmp_path / "asked.yaml"
    named.write_text("{}")
    asked.write_text("capital: 5")
    assert found(NOVAPULSE_CONFIG=str(named)) == named
    assert found(asked, NOVAPULSE_CONFIG=str(named)) == asked


def test_a_few_strategies_need_no_word_about_the_label(tmp_path: Path) -> None:
    off = ", ".join(f"{name}: 0" for name in Settings().confluence.weights if name != "trend")
    load(nowhere(), written(tmp_path, f"confluence: {{weights: {{{off}}}}}\n"))
    with pytest.raises(ConfigError, match=r"strategies_min is 2, and only 1 of the strategies"):
        load(nowhere(), written(tmp_path, f"confluence: {{sure_fire: {{strategies_min: 2}}, weights: {{{off}}}}}\n"))


def test_settings_cannot_be_changed_after_loading() -> None:
    settings = load(nowhere()).settings
    with pytest.raises(ValueError, match="frozen"):
        settings.capital = 5.0
    with pytest.raises(ValueError, match="frozen"):
        settings.data.exchange = "kraken"


def test_reserved_names_are_no_settings() -> None:
    environment = nowhere(NOVAPULSE_DATA_DIR="lake", NOVAPULSE_REAL_MONEY="no", NOVAPULSE_CONFIG="")
    assert load(environment).settings == Settings()


BAD_FILES = {
    "an unknown key": (
        "risk:\n  sizing:\n    risk_fractoin: 1\n",
        ["line 3", "risk_fractoin", "risk.sizing.risk_fraction"],
    ),
    "an unknown section": ("rsik: {}\n", ["line 1", "rsik", "nearest: risk"]),
    "a key of another section": ("risk:\n  capital: 5\n", ["line 2", "risk.capital is no setting"]),
    "a key twice": ("capital: 1\ndata: {}\ncapital: 2\n", ["line 3", "capital", "twice", "line 1"]),
    "a key twice inside": (
        "risk:\n  gate:\n    required: true\n    required: false\n",
        ["line 4", "risk.gate.required"],
    ),
    "broken YAML": ("capital: [1\nrisk: 2\n", ["line 2", "not valid YAML"]),
    "a tab": ("risk:\n\tgate: 1\n", ["line 2", "not valid YAML"]),
    "an anchor": ("risk: &r {}\ndata: *r\n", ["line 2", "anchors"]),
    "a list": ("- capital\n", ["expected settings", "list"]),
    "a number for a name": ("risk:\n  5: 1\n", ["line 2", "expected a name"]),
    "a value for a section": ("risk: 5\n", ["line 1", "risk is 5"]),
    "no capital": ("capital: 0\n", ["line 1", "capital is 0", "greater than 0"]),
    "infinite capital": ("capital: .inf\n", ["line 1", "capital is inf"]),
    "a word for a number": ("data: {}\ncapital: much\n", ["line 2", "capital is 'much'"]),
    "a symbol that is none": ("data:\n  symbols: [BTC/USDT, B T C]\n", ["line 2", "B T C"]),
    "a symbol twice": ("data:\n  symbols: [BTC/USDT, btc-usdt]\n", ["line 2", "BTC/USDT", "twice"]),
    "a timeframe that is none": ("data:\n  timeframe: 1 minute\n", ["line 2", "1 minute"]),
    "an exchange that is none": ("data:\n  exchange: My Exchange\n", ["line 2", "My Exchange", "lower-case"]),
    "another schema": ("schema_version: 2\n", ["line 1", "schema_version is 2"]),
    "limits that contradict": (
        "risk:\n  limits:\n    group_exposure_max_fraction: 0.9\n",
        ["line 3", "group_exposure_max_fraction (0.9)", "gross_exposure_max_fraction (0.5)"],
    ),
    "a mode that is none": ("mode: real\n", ["line 1", "mode is 'real'"]),
    "an account twice": (
        "accounts:\n- {exchange: kraken, account_id: main, symbols: [BTC/USD]}\n"
        "- {exchange: kraken, account_id: main, symbols: [ETH/USD]}\n",
        ["line 1", "account main on kraken stands there twice"],
    ),
    "an account without a name": (
        "accounts:\n- {exchange: kraken, symbols: [BTC/USD]}\n",
        ["line 2", "account number 1: account_id is missing"],
    ),
    "an account whose name is no file name": (
        "accounts:\n- exchange: kraken\n  account_id: ../main\n  symbols: [BTC/USD]\n",
        ["line 3", "account_id", "'../main'", "lower-case"],
    ),
    "an account that is no mapping": ("accounts: [kraken]\n", ["line 1", "account number 1 is 'kraken'"]),
    "accounts that are no list": ("accounts: {exchange: kraken}\n", ["line 1", "accounts is"]),
    "an account of no exchange": (
        "accounts:\n- {exchange: My Exchange, account_id: main, symbols: [BTC/USD]}\n",
        ["line 2", "account main on My Exchange: exchange", "lower-case"],
    ),
    "an account without symbols": (
        "accounts:\n- exchange: kraken\n  account_id: main\n  symbols: []\n",
        ["line 4", "account main on kraken: symbols"],
    ),
    "an account of two currencies": (
        "accounts:\n- exchange: kraken\n  account_id: main\n  symbols: [BTC/USD, BTC/EUR]\n",
        ["line 4", "account main on kraken: symbols", "BTC/USD in USD, BTC/EUR in EUR"],
    ),
    "an unknown key of an account": (
        "accounts:\n- exchange: kraken\n  account_id: main\n  symbol: [BTC/USD]\n  symbols: [BTC/USD]\n",
        ["line 4", "account main on kraken: symbol is no setting", "nearest: symbols"],
    ),
    "an unknown key of an override": (
        "accounts:\n- exchange: kraken\n  account_id: main\n  symbols: [BTC/USD]\n  overrides:\n    risk:\n"
        "      sizing: {risk_fractoin: 1}\n",
        ["line 7", "account main on kraken", "risk.sizing.risk_fractoin", "nearest: risk.sizing.risk_fraction"],
    ),
    "a section that no account overrides": (
        "accounts:\n- {exchange: kraken, account_id: main, symbols: [BTC/USD], overrides: {data: {timeframe: 5m}}}\n",
        ["line 2", "account main on kraken", "data is nothing that an account overrides", "confluence, risk"],
    ),
    "an override that is impossible": (
        "accounts:\n- exchange: kraken\n  account_id: main\n  symbols: [BTC/USD]\n  overrides:\n    risk:\n"
        "      entry_forecast_min: 50\n",
        ["line 7", "account main on kraken", "risk.entry_forecast_min is 50"],
    ),
    "an override that contradicts what is above": (
        "risk: {limits: {group_exposure_max_fraction: 0.3}}\naccounts:\n- exchange: kraken\n  account_id: main\n"
        "  symbols: [BTC/USD]\n  overrides: {risk: {limits: {gross_exposure_max_fraction: 0.2}}}\n",
        ["line 6", "account main on kraken", "group_exposure_max_fraction (0.3)", "(0.2)"],
    ),
    "a latency that only one account cannot have": (
        "accounts:\n- exchange: kraken\n  account_id: main\n  symbols: [BTC/USD]\n"
        "  overrides: {execution: {latency_ms: 70000}}\n",
        ["line 5", "account main on kraken", "execution.latency_ms is 70000"],
    ),
    "a feed from nowhere": ("feed: {source: exchange}\n", ["line 1", "feed.source is 'exchange'"]),
    "a feed that starts never": ("feed: {start: tomorrow}\n", ["line 1", "feed.start", "'tomorrow'", "ISO 8601"]),
    "a feed that runs backwards": ("feed: {speed: -1}\n", ["line 1", "feed.speed is -1"]),
    "breakers that contradict": (
        "breakers:\n  daily_loss_halt_fraction: 0.02\n",
        ["line 2", "daily_loss_reduce_only_fraction (0.03)", "daily_loss_halt_fraction (0.02)"],
    ),
    "looks that descend": (
        "trader:\n  reconciliation: {fills_interval_s: 10}\n",
        ["line 2", "orders_interval_s (20)", "fills_interval_s (10)"],
    ),
    "a partial fill that nobody knows": ("trader: {partial_fill: sell}\n", ["line 1", "trader.partial_fill is 'sell'"]),
    "timeframes that contradict": ("confluence:\n  timeframe_multiples: [1, 5]\n", ["line 2", "timeframe_weights"]),
}


@pytest.mark.parametrize(("text", "named"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_file_line_and_key(tmp_path: Path, text: str, named: list[str]) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(nowhere(), file)
    for part in [file.name, *named]:
        assert part in str(refused.value)


TWO_ACCOUNTS = """\
risk: {entry_forecast_min: 6, sizing: {risk_fraction: 0.004}}
capital: 5000
accounts:
- {exchange: kraken, account_id: main, symbols: btc-usd}
- exchange: coinbase
  account_id: main
  symbols: [ETH/USD, BTC/USD]
  capital: 700
  overrides:
    risk: {sizing: {position_notional_max: 50}}
    confluence: {weights: {keltner: 0.9}}
    breakers: {rejects_max: 9}
    trader: {partial_fill: unwind}
"""


def test_an_account_sees_the_configuration_with_its_own_words_merged_in(tmp_path: Path) -> None:
    """R-61."""
    settings = load(nowhere(), written(tmp_path, TWO_ACCOUNTS)).settings
    first, second = (settings_of(settings, account) for account in settings.accounts)
    assert (first.data.exchange, first.data.symbols, first.capital) == ("kraken", ("BTC/USD",), 5000)
    assert first.backtest == settings.backtest
    assert (second.data.exchange, second.data.symbols, second.capital) == ("coinbase", ("ETH/USD", "BTC/USD"), 700)
    assert second.risk.entry_forecast_min == 6
    assert (second.risk.sizing.risk_fraction, second.risk.sizing.position_notional_max) == (0.004, 50)
    assert second.confluence.weights == settings.confluence.weights | {"keltner": 0.9}
    assert (second.breakers.rejects_max, second.breakers.task_failures_max) == (9, 3)
    assert second.trader.partial_fill == "unwind"
    assert first.accounts == second.accounts == ()


def test_what_decides_in_an_account_has_a_name_of_its_own(tmp_path: Path) -> None:
    settings = load(nowhere(), written(tmp_path, TWO_ACCOUNTS)).settings
    first, second = (settings_of(settings, account) for account in settings.accounts)
    assert first.hash == settings.hash
    assert second.hash != settings.hash
    calmer = TWO_ACCOUNTS.replace("rejects_max: 9", "rejects_max: 8").replace("unwind", "complete")
    same = load(nowhere(), written(tmp_path, calmer)).settings
    assert settings_of(same, same.accounts[1]).hash == second.hash, "breakers decide nothing on a bar"


def test_the_environment_replaces_the_accounts_as_a_whole(tmp_path: Path) -> None:
    only = "[{exchange: kraken, account_id: other, symbols: [SOL/USD], overrides: {risk: {moon: 1}}}]"
    file = written(tmp_path, TWO_ACCOUNTS)
    with pytest.raises(
        ConfigError, match=r"^environment variable NOVAPULSE_ACCOUNTS: account other on kraken: risk.moon"
    ):
        load(nowhere(NOVAPULSE_ACCOUNTS=only), file)
    (account,) = load(nowhere(NOVAPULSE_ACCOUNTS=only.replace("{moon: 1}", "{}")), file).settings.accounts
    assert account.account_id == "other"


def test_the_shipped_paper_configuration_has_three_accounts_on_two_exchanges_that_share_a_pair() -> None:
    settings = load(nowhere(), PAPER).settings
    assert settings.mode == "paper"
    assert len(settings.accounts) == 3
    assert {account.exchange for account in settings.accounts} == {"kraken", "coinbase"}
    first, second = (account for account in settings.accounts if account.exchange == "kraken")
    assert set(first.symbols) & set(second.symbols)
    assert len({settings_of(settings, account).hash for account in settings.accounts}) == 3


def test_a_moment_that_looks_like_a_date_is_one(tmp_path: Path) -> None:
    feed = load(nowhere(), written(tmp_path, "feed: {start: 2023-03-01, end: 2023-03-02T00:00:00Z}\n")).settings.feed
    assert (feed.start, feed.end) == ("2023-03-01", "2023-03-02T00:00:00+00:00")


def test_real_money_needs_two_words_and_a_venue() -> None:
    check_mode(Settings(), {})
    live = Settings(mode="live")
    for said in ("", "YES", "no", "1"):
        with pytest.raises(ConfigError, match="real money: that needs NOVAPULSE_REAL_MONEY=yes"):
            check_mode(live, {"NOVAPULSE_REAL_MONEY": said})
    with pytest.raises(ConfigError, match="no connection to a real venue yet"):
        check_mode(live, {"NOVAPULSE_REAL_MONEY": "yes"})


BAD_NAMES = {
    "a typo": ("NOVAPULSE_RISK__SIZING__RISK_FRACTOIN", "1", "NOVAPULSE_RISK__SIZING__RISK_FRACTION"),
    "a typo in a reserved name": ("NOVAPULSE_DATADIR", "lake", "NOVAPULSE_DATA_DIR"),
    "one underscore": ("NOVAPULSE_DATA_EXCHANGE", "kraken", "NOVAPULSE_DATA__EXCHANGE"),
    "a section": ("NOVAPULSE_RISK__GATE", "{}", "NOVAPULSE_RISK__GATE__REQUIRED"),
    "an account of its own": ("NOVAPULSE_ACCOUNTS__0__CAPITAL", "1", "NOVAPULSE_ACCOUNTS"),
    "below a setting": ("NOVAPULSE_CAPITAL__USD", "1", "NOVAPULSE_CAPITAL"),
    "an impossible value": ("NOVAPULSE_CAPITAL", "-1", "capital is -1"),
    "an unreadable value": ("NOVAPULSE_CAPITAL", "[1", "cannot be read"),
}


@pytest.mark.parametrize(("name", "value", "named"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_a_bad_environment_name_is_refused_with_the_nearest(name: str, value: str, named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(nowhere(**{name: value}))
    assert name in str(refused.value)
    assert named in str(refused.value)


@pytest.mark.parametrize("by", ["--config", "NOVAPULSE_CONFIG"])
def test_a_named_file_must_exist(by: str) -> None:
    file, environment = ("no.yaml", nowhere()) if by == "--config" else (None, nowhere(NOVAPULSE_CONFIG="no.yaml"))
    with pytest.raises(ConfigError, match=f"no.yaml, named by {by}, does not exist"):
        load(environment, file)


def test_a_folder_is_no_configuration_and_is_called_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"named by --config, is a folder: name the file in it"):
        load(nowhere(), str(tmp_path))


def test_state_lies_in_the_platforms_folder_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert config.home_folder({}) == tmp_path / ".local" / "share" / "novapulse"
    assert config.home_folder({"XDG_DATA_HOME": "/data"}) == Path("/data/novapulse")
    monkeypatch.setattr("sys.platform", "darwin")
    assert config.home_folder({}) == tmp_path / "Library" / "Application Support" / "novapulse"
    assert config.lake_folder({"NOVAPULSE_HOME": "/state"}) == Path("/state/lake")
    assert config.lake_folder({"NOVAPULSE_HOME": "/state", "NOVAPULSE_DATA_DIR": "/lake"}) == Path("/lake")


def test_a_folder_of_recordings_is_no_lake(tmp_path: Path) -> None:
    (tmp_path / "kraken_BTC-USD_1m.parquet").touch()
    environment = {"NOVAPULSE_HOME": "/state", "NOVAPULSE_DATA_DIR": str(tmp_path)}
    assert config.lake_folder(environment) == Path("/state/lake")
    assert config.recordings_folder(environment) == tmp_path
