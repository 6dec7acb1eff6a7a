"""The plugin of this package, for a checkout that is not installed; where it is, pytest has loaded it already."""

pytest_plugins = ["cupysoft_pytest"]
