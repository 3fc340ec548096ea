"""How a paper splits a data set into queries, training rows and database.

Each data set in `sets/` has its own protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Quota:
    """A number of images.

    Attributes:
        number: Number per class, or in total.
        every_class: Whether `number` is per class.
        first_class: A different number for the first class.
        fill_to: The total; if some classes have too few images, it is reached with images of any class.
    """

    number: int
    every_class: bool = False
    first_class: int | None = None
    fill_to: int | None = None

    def of_class(self, index: int) -> int:
        return self.first_class if index == 0 and self.first_class is not None else self.number

    def total(self, classes: int) -> int:
        if self.fill_to is not None:
            return self.fill_to
        return sum(self.of_class(index) for index in range(classes)) if self.every_class else self.number

    def __str__(self) -> str:
        if not self.every_class:
            return f"{self.number:,}"
        first = "" if self.first_class is None else f", {self.first_class:,} of the first"
        fill = "" if self.fill_to is None else f", filled to {self.fill_to:,}"
        return f"{self.number:,} a class{first}{fill}"


def every_class(number: int, first_class: int | None = None, fill_to: int | None = None) -> Quota:
    return Quota(number, True, first_class, fill_to)


def in_all(number: int) -> Quota:
    return Quota(number)


@dataclass(frozen=True)
class Protocol:
    """The split that a paper defines.

    The database consists of all images except the queries; it includes the training images.

    Attributes:
        name: Name for messages.
        queries: How many images are queries.
        train: How many are training images; None for the whole database.
        images, classes: Numbers of images and classes of the whole data set; None if they are not fixed.
        queries_in_database: Whether the database contains the queries, so that each query finds itself, and not the
            training images. HashNet's lists for COCO are such a split.
    """

    name: str
    queries: Quota
    train: Quota | None
    images: int | None = None
    classes: int | None = None
    queries_in_database: bool = False

    def __str__(self) -> str:
        images = "the images" if self.images is None else f"{self.images:,} images"
        classes = "" if self.classes is None else f" of {self.classes} classes"
        train = "the whole database" if self.train is None else str(self.train)
        database = "every image but the training images" if self.queries_in_database else "every image but the queries"
        return f"{self.name}: {images}{classes}; queries {self.queries}; training {train}; database {database}"

    def with_numbers(self, queries: int | None, train: int | None) -> Protocol:
        """The same protocol on a part of the data: other numbers (a class or in all, as before), any pool."""
        if queries is None and train is None:
            return self
        changes: dict[str, Any] = {"images": None}
        if queries is not None:
            changes["queries"] = Quota(queries, self.queries.every_class)
        if train is not None:
            changes["train"] = Quota(train, self.queries.every_class if self.train is None else self.train.every_class)
        return replace(self, **changes)
