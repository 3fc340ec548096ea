"""The responses of the API; the OpenAPI description is generated from them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Error(BaseModel):
    error: str = Field(description="One line: which field, what was found, what was expected.")


class Item(BaseModel):
    id: str
    distance: int = Field(description="Hamming distance between the codes of item and query.")
    labels: list[str]
    thumbnail: str | None = Field(description="The URL of a JPEG; null if there are no pictures.")


class Answer(BaseModel):
    run: int = Field(description="The number of the index, in the order of --index.")
    name: str
    bits: int
    code: str | None = Field(None, description="The query's code, packed as in codes.npz, in hexadecimal digits.")
    nearest: list[Item] = Field(
        [], description="Nearest first; items at the same distance in the order in which they were added."
    )
    error: str | None = Field(None, description="Why this index has no answer, although another one has.")


class Query(BaseModel):
    kind: str = Field(description="image, text, id or code")
    value: str | None = Field(None, description="The words, the id or the code.")
    labels: list[str] = Field([], description="Of an item of the index.")
    thumbnail: str | None = None


class Answers(BaseModel):
    query: Query
    answers: list[Answer] = Field(description="One for each index.")


class Run(BaseModel):
    run: int
    name: str
    bits: int
    items: int | None = None
    method: str | None = None
    dataset: str | None = None
    identity: str | None = Field(
        None, description="Of the run that made the codes, as `about` in an export's model.json."
    )
    encoder: str = Field("float32", description="Of the codes: float32, or litert_int8 for codes of such an export.")
    model: str | None = Field(None, description="The name of the model's folder; null without --model.")
    reads_images: bool
    reads_words: bool
    labels: list[str] = []
    error: str | None = None


class About(BaseModel):
    runs: list[Run]
    most_bytes: int
    most_pixels: int
    most_answers: int
    formats: list[str]
