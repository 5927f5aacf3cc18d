"""`novapulse config`: the effective configuration and its schema."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from novapulse.cli.console import EXIT_DONE, say, show_json
from novapulse.config import AccountSettings, check_mode, home_folder, json_schema, lake_folder, load, settings_of
from novapulse.config.schema import dotted, environment_name, leaves


def check(options: argparse.Namespace) -> int:
    """Print every setting with its value and source; a configuration that cannot be used is an error."""
    from novapulse.research.inputs import check_fixed_qty, checked_strategies

    loaded = load(os.environ, options.config)
    checked_strategies(loaded, say)
    check_fixed_qty(loaded)
    check_mode(loaded.settings)
    rows = [(path, value, loaded.place(path)) for path, value in leaves(loaded.settings.model_dump(mode="json"))]
    places = {"home": str(home_folder(os.environ)), "lake": str(lake_folder(os.environ))}
    accounts = [(account, settings_of(loaded.settings, account).hash) for account in loaded.settings.accounts]
    if options.json:
        values: dict[str, Any] = {
            dotted(path): {"value": value, "from": place, "environment": environment_name(path)}
            for path, value, place in rows
        }
        file = str(loaded.file) if loaded.file else None
        each = [
            {"exchange": account.exchange, "account_id": account.account_id, "settings_hash": own}
            for account, own in accounts
        ]
        hashes = {"settings_hash": loaded.settings.backtest.hash, "accounts": each}
        show_json({"file": file, **places, **hashes, "settings": values})
        return EXIT_DONE
    print(f"configuration: {loaded.file or 'defaults'} ({loaded.file_named_by})")
    for name, folder in places.items():
        print(f"{name}: {folder}")
    print(f"settings hash: {loaded.settings.backtest.hash}\n")
    width = max(len(dotted(path)) for path, _, _ in rows)
    for path, value, place in rows:
        if path == ("accounts",) and accounts:
            value = f"{len(accounts)}, see below"
        print(f"{dotted(path):{width}}  {_text(value):<12} {_short(place, loaded.file)}")
    for account, own in accounts:
        _show_account(account, own)
    return EXIT_DONE


def _show_account(account: AccountSettings, own_hash: str) -> None:
    print(
        f"\naccount {account.account_id} on {account.exchange}: {', '.join(account.symbols)}; settings hash {own_hash}"
    )
    capital = {} if account.capital is None else {"capital": account.capital}
    for path, value in leaves({**capital, **account.overrides}):
        print(f"  {dotted(path)}  {_text(value)}")


def schema(options: argparse.Namespace) -> int:
    """Print the JSON schema."""
    print(json.dumps(json_schema(), indent=2))
    return EXIT_DONE


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value) or "[]"
    return value if isinstance(value, str) else json.dumps(value)


def _short(place: str, file: Path | None) -> str:
    return place.removeprefix(f"{file}, ") if file else place
