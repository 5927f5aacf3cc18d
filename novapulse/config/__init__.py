"""Configuration: a YAML file, overridden by the environment, overridden by options of the command line.

Invariants:
- every setting has one name, `section.key`, and one environment name made from it, `NOVAPULSE_SECTION__KEY`;
- a name nobody knows is an error that says where it stands and which name is nearest; nothing is ignored;
- a later source overrides single keys, of mappings such as `confluence.weights` too: what it does not name stays;
- defaults live in the settings' own classes and nowhere else;
- an account sees the configuration with its own overrides merged over it, and is checked as a whole.
"""

from novapulse.config.accounts import check_mode, confirm_money, settings_of
from novapulse.config.loading import Loaded, load
from novapulse.config.places import home_folder, lake_folder, recordings_folder, sample_folder
from novapulse.config.settings import SCHEMA_VERSION, AccountSettings, DataSettings, FeedSettings, Settings, json_schema
from novapulse.config.sources import ConfigError

__all__ = [
    "SCHEMA_VERSION",
    "AccountSettings",
    "ConfigError",
    "DataSettings",
    "FeedSettings",
    "Loaded",
    "Settings",
    "check_mode",
    "confirm_money",
    "home_folder",
    "json_schema",
    "lake_folder",
    "load",
    "recordings_folder",
    "sample_folder",
    "settings_of",
]
