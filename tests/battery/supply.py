"""What an installation is made of: each distribution that running the project needs, its version and its licence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

#: What makes it fast is optional, and part of what most install.
_EXTRAS = ("fast",)


@dataclass(frozen=True, slots=True)
class Part:
    """A distribution that is installed. ``licence`` is what it says of itself, ``floor`` the oldest version that the
    project or one of its parts lets an installation have, if any of them says."""

    name: str
    version: Version
    licence: str
    floor: Version | None


def parts(project: str = "signpost") -> dict[str, Part]:
    """Return by name all that the project requires, directly or not, and that is installed."""
    found: dict[str, Distribution] = {}
    floors: dict[str, Version] = {}
    todo = [(canonicalize_name(project), frozenset(_EXTRAS))]
    while todo:
        name, extras = todo.pop()
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for needed in _needed(found[name], extras):
            other = canonicalize_name(needed.name)
            for one in needed.specifier:
                if one.operator in (">=", "==", "~=") and Version(one.version) > floors.get(other, Version("0")):
                    floors[other] = Version(one.version)
            if other not in found:
                todo.append((other, frozenset(needed.extras)))
    del found[canonicalize_name(project)]
    return {
        name: Part(name, Version(one.version), _licence(one), floors.get(name)) for name, one in sorted(found.items())
    }


def _needed(one: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for line in one.requires or ():
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield needed


def _licence(one: Distribution) -> str:
    """By its expression (PEP 639), else by its classifiers, else as it stands there."""
    expressed, said, kinds = (
        one.metadata.get_all(key) or [] for key in ("License-Expression", "License", "Classifier")
    )
    classified = [kind.split(" :: ")[-1] for kind in kinds if kind.startswith("License ::")]
    first_lines = [" ".join(text.strip().partition("\n")[0].split()) for text in said]
    return ", ".join(expressed or classified or filter(None, first_lines)) or "not stated"
