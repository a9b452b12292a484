"""``signpost`` in a container that has no memory left for an index."""

from __future__ import annotations

from bot import cli, snapshot

if __name__ == "__main__":
    vars(snapshot)["memory_left"] = lambda: 1_000
    cli.main()
