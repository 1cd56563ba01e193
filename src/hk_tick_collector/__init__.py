"""Collects every Hong Kong trade tick that Futu OpenD pushes, exactly once, into one SQLite file per trading day."""

# The version comes from the latest git tag: see tools/version.py. A tree without a tag has the version NEXT_VERSION.
# After each release, set it to the next version. deploy/install.sh reads it too.
NEXT_VERSION = "0.1.0"

__version__: str


def __getattr__(name: str) -> str:
    """`__version__` at the time this package was installed. It is read at the first use, because that takes 30 ms."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import metadata

    try:
        version = metadata.version("hk-tick-collector")
    except metadata.PackageNotFoundError:  # a copy of the sources on PYTHONPATH
        version = NEXT_VERSION
    globals()["__version__"] = version
    return version
